/*
 * The sample provider: requests of its protocol, and the lesson it composes from a prompt.
 *
 * Input: the body of a chat completion.
 * Asserted: each answer is JSON, unless the model was told to give none; what is taken from the
 * outline is single lines of bounded length; counting and cutting tokens agree.
 *
 * Covers: fcgi/sample/chat.c fcgi/sample/compose.c fcgi/sample/outline.c fcgi/sample/tokens.c
 */
#include "fcgi/sample/chat.h"

#include <string.h>

#include "common/json.h"
#include "common/utf8.h"
#include "fcgi/sample/fault.h"
#include "fcgi/sample/outline.h"
#include "fcgi/sample/tokens.h"
#include "tests/fuzz/lib/fuzz.h"

enum { INPUT_MAX = 16384 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

static void check_outline(struct arena *a, const char *prompt)
{
    struct outline o;
    size_t len;

    outline_read(a, prompt, &o);
    len = strlen(o.title);
    must(len > 0 && utf8_valid(o.title, len) && strchr(o.title, '\n') == NULL);
    must(utf8_count(o.title, len) <= OUTLINE_TITLE_CHARACTERS);
    must(o.word_count >= 1 && o.word_count <= OUTLINE_WORDS_MAX);
    for (int i = 0; i < o.word_count; i++)
        must(*o.words[i] != '\0' && utf8_valid(o.words[i], strlen(o.words[i])) &&
             strpbrk(o.words[i], "\n<>[]`") == NULL);
    must(o.sections >= 1 && o.sections <= OUTLINE_SECTIONS_MAX);
}

static void check_tokens(const char *text)
{
    size_t len = strlen(text), count = tokens_count(text, len), half;

    half = tokens_prefix(text, len, count / 2);
    must(half <= len && tokens_count(text, half) == count / 2);
    must(utf8_valid(text, half));
    must(tokens_prefix(text, len, count) == len && tokens_prefix(text, len, count + 1) == len);
}

static void check_reply(struct arena *a, const char *name, const struct fault_reply *r)
{
    static const char *const broken[] = {"garbage", "cut", "nul", "drop"};
    struct err e;

    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        if (strcmp(name, broken[i]) == 0)
            return;
    must(!r->body->full);
    if (strcmp(r->type, "application/json") == 0)
        must(json_parse_client(a, buf_text(r->body), r->body->len, &e) != NULL);
}

static void answer(struct arena *a, const struct chat_request *q)
{
    const struct fault *fault;
    struct fault_reply r = {0};
    long n;

    check_outline(a, q->prompt);
    check_tokens(q->prompt);
    fault = fault_find(q->model ? q->model : faults->name, &n);
    if (fault == NULL || strcmp(fault->name, "huge") == 0)
        return; /* megabytes, of nothing from outside */
    fault_answer(fault, n, a, q, &r);
    check_reply(a, fault->name, &r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chat_request q = {0};
    struct fault_reply r = {0};
    struct chat_error refused;
    struct json_object *body;
    struct arena *a;
    struct err e;

    if (size > INPUT_MAX)
        return 0;
    a = arena_create();
    body = json_parse_client(a, (const char *)data, size, &e);
    if (json_is_object(body)) {
        if (chat_read(a, body, &q, &refused)) {
            answer(a, &q);
        } else {
            fault_refuse(a, &refused, &r);
            check_reply(a, "", &r);
        }
    }
    arena_destroy(a);
    return 0;
}
