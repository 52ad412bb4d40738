/*
 * chat: the OpenAI chat-completions protocol, as a provider sees it.
 *
 * Reads a request's JSON and writes completions and errors into a buffer. It
 * knows nothing of HTTP beyond the status an error carries, and nothing of what
 * is answered. Members it does not know are ignored. Everything lives in the
 * arena or in the request's tree.
 * https://platform.openai.com/docs/api-reference/chat
 */
#ifndef FCGI_SAMPLE_CHAT_H
#define FCGI_SAMPLE_CHAT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/arena.h"
#include "common/buf.h"

struct json_object;

struct chat_request {
    const char *model;    /* NULL: none is named */
    const char *prompt;   /* the last message of a user, else the last of all */
    size_t prompt_tokens; /* of all messages */
    size_t max_tokens;    /* 0: as many as it takes */
};

struct chat_error {
    int status;
    const char *message, *type, *param, *code; /* param, code: NULL is null */
};

struct chat_answer {
    const char *model;
    const char *content; /* NULL: null */
    size_t len;
    const char *escapes; /* JSON escapes put behind the content as they are, or NULL */
    const char *refusal; /* or NULL */
    const char *finish_reason;
    bool no_usage;
    size_t prompt_tokens;
};

bool chat_read(struct arena *a, struct json_object *body, struct chat_request *q,
               struct chat_error *e);

/* A whole chat.completion object with an id of its own; counts the completion's tokens. */
void chat_write(struct buf *b, const struct chat_answer *answer);
void chat_write_error(struct buf *b, const struct chat_error *e);

#endif
