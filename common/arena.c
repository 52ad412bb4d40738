#include "common/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Allocations are cut from blocks of this size. Under AddressSanitizer each has
 * a block of its own, so that running past one is seen.
 */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { BLOCK_SIZE = 0 };
#else
enum { BLOCK_SIZE = 4096 };
#endif

struct block {
    struct block *older;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

struct release {
    struct release *older;
    void (*call)(void *handle);
    void *handle;
};

struct arena {
    struct block *blocks;
    struct release *releases;
};

static void *must(void *p)
{
    if (p == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return p;
}

struct arena *arena_create(void)
{
    return must(calloc(1, sizeof(struct arena)));
}

void arena_destroy(struct arena *a)
{
    struct block *b, *older;

    if (a == NULL)
        return;
    for (struct release *r = a->releases; r != NULL; r = r->older)
        r->call(r->handle);
    for (b = a->blocks; b != NULL; b = older) {
        older = b->older;
        free(b);
    }
    free(a);
}

static struct block *block_add(struct arena *a, size_t size)
{
    struct block *b = must(calloc(1, sizeof *b + size));

    b->size = size;
    b->older = a->blocks;
    a->blocks = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    struct block *b = a->blocks;
    void *p;

    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (b == NULL || b->size - b->used < size)
        b = block_add(a, size > BLOCK_SIZE ? size : BLOCK_SIZE);
    p = b->bytes + b->used;
    b->used += size;
    return p;
}

char *arena_memdup(struct arena *a, const char *s, size_t len)
{
    char *copy = arena_alloc(a, len + 1);

    memcpy(copy, s, len);
    return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_memdup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    char *s;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0)
        must(NULL);
    s = arena_alloc(a, (size_t)len + 1);
    va_start(ap, fmt);
    vsnprintf(s, (size_t)len + 1, fmt, ap);
    va_end(ap);
    return s;
}

void arena_defer(struct arena *a, void (*release)(void *handle), void *handle)
{
    struct release *r = arena_alloc(a, sizeof *r);

    *r = (struct release){.older = a->releases, .call = release, .handle = handle};
    a->releases = r;
}
