/*
 * arena: everything born in a request or a job dies with it.
 *
 * Memory and foreign handles (PGresult, json_object, CURL...) are tied to one
 * arena and released together, newest first, by arena_destroy(). Nothing taken
 * from an arena is ever freed by hand, so handlers need no cleanup path.
 * Running out of memory aborts the process: its supervisor restarts it.
 */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_create(void) __attribute__((returns_nonnull));
void arena_destroy(struct arena *a); /* NULL is fine */

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
char *arena_strdup(struct arena *a, const char *s) __attribute__((returns_nonnull));
/* Copies len bytes and adds a NUL behind them. */
char *arena_memdup(struct arena *a, const char *s, size_t len) __attribute__((returns_nonnull));
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull));

/* Call release(handle) when the arena is destroyed. */
void arena_defer(struct arena *a, void (*release)(void *handle), void *handle);

#endif
