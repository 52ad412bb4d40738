#include "common/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 256 };

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_finish(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max);
}

static void release(void *b)
{
    buf_finish(b);
}

struct buf *buf_create(struct arena *a, size_t max)
{
    struct buf *b = arena_alloc(a, sizeof *b);

    buf_init(b, max);
    arena_defer(a, release, b);
    return b;
}

/* Room for len more bytes and the NUL. */
static bool reserve(struct buf *b, size_t len)
{
    size_t size = b->size ? b->size : FIRST_SIZE;

    if (len > b->max - b->len) {
        b->full = true;
        return false;
    }
    while (size < b->len + len + 1)
        size *= 2;
    if (size == b->size)
        return true;
    b->data = realloc(b->data, size);
    if (b->data == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    b->size = size;
    return true;
}

bool buf_add(struct buf *b, const void *data, size_t len)
{
    if (!reserve(b, len))
        return false;
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return true;
}

bool buf_puts(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0 || !reserve(b, (size_t)len))
        return false;
    va_start(ap, fmt);
    vsnprintf(b->data + b->len, (size_t)len + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)len;
    return true;
}

const char *buf_text(const struct buf *b)
{
    return b->data ? b->data : "";
}
