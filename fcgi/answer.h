/*
 * answer: what one request is answered, on its connection: headers and body at
 * once, or a stream at the pace of who reads. It knows neither routes nor libfcgi.
 *
 * The bytes of a body stay the caller's and live until it is sent. What the peer
 * does not take is logged, and the rest of the answer goes nowhere.
 */
#ifndef FCGI_ANSWER_H
#define FCGI_ANSWER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/arena.h"
#include "common/buf.h"
#include "fcgi/record.h"

struct answer {
    struct arena *arena;
    const char *request_id; /* for the log */
    int fd, id;             /* the connection, and FastCGI's request on it */
    bool head, broken;      /* HEAD; nobody takes the answer any more */
    struct buf *headers;
    struct record_part *first, *last;
    char *stream; /* of a stream, what is not written yet */
    size_t streamed;
    struct { /* of a stream, since it was last looked at */
        long waited_us;
        size_t bytes;
    } pace;
};

/* Memory is taken from the arena, which outlives the answer; so does the text of the id. */
void answer_begin(struct answer *w, struct arena *a, const char *request_id, int fd, int id,
                  bool head);

/* A header line; one with a line break in it, or of more than fits 12 KB, is dropped and logged. */
void answer_header(struct answer *w, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* The next part of the body. */
void answer_add(struct answer *w, const char *data, size_t len);

/* Forget the body. */
void answer_clear(struct answer *w);

/*
 * Add a weak ETag of the body's bytes. Whether If-None-Match, which may be NULL, says that the
 * client has them.
 */
bool answer_tag(struct answer *w, const char *if_none_match);

/* All of it; missing: how many bytes Content-Length says beyond the body. */
void answer_send(struct answer *w, int status, const char *type, size_t missing);

/* Nothing more: without anything before, no answer at all. */
void answer_end(struct answer *w);

/*
 * A 200 of unknown length; answer_end() makes it whole. False: nobody reads any more, or too slowly
 * to go on (4 KB a second over half a minute), or HEAD was asked.
 */
void answer_stream(struct answer *w, const char *type);
bool answer_stream_add(struct answer *w, const char *data, size_t len);
void answer_stream_flush(struct answer *w);

#endif
