/*
 * buf: bytes that grow, up to a maximum.
 *
 * buf_init() cannot fail and takes no memory. Adding past the maximum fails,
 * leaves what was there, and sets `full`, so a writer may check once at the end.
 * The bytes are always followed by a NUL that len does not count.
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "common/arena.h"

struct buf {
    char *data; /* NULL while nothing was added */
    size_t len, size, max;
    bool full;
};

void buf_init(struct buf *b, size_t max);
void buf_finish(struct buf *b); /* frees; the buffer may be used again */
/* A buffer that lives as long as the arena. */
struct buf *buf_create(struct arena *a, size_t max) __attribute__((returns_nonnull));

bool buf_add(struct buf *b, const void *data, size_t len);
bool buf_puts(struct buf *b, const char *s);
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What is in it, "" when nothing is. */
const char *buf_text(const struct buf *b) __attribute__((returns_nonnull));

#endif
