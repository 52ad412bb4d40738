/*
 * compose: a lesson in Markdown, made from a prompt by filling in the blanks.
 *
 * The same prompt gives the same lesson. There is no model behind it: what it
 * says is true of any topic. Nothing of the outline but its title and its words,
 * which outline.h keeps free of markup, gets into the text.
 */
#ifndef FCGI_SAMPLE_COMPOSE_H
#define FCGI_SAMPLE_COMPOSE_H

#include "common/arena.h"
#include "common/buf.h"

/* prompt: valid UTF-8 without NULs. The lesson is the arena's. */
const struct buf *compose_lesson(struct arena *a, const char *prompt)
    __attribute__((returns_nonnull));

#endif
