/*
 * outline: what a prompt asks for, as far as a program without a model can see.
 *
 * The outline is the prompt's first quoted passage, else all of it; the wishes
 * (grade, sections, style, examples, exercises) are looked for line by line
 * behind it. The outline is a stranger's text: the title and the words taken from
 * it are single lines without Markdown, so they may stand anywhere in a lesson.
 */
#ifndef FCGI_SAMPLE_OUTLINE_H
#define FCGI_SAMPLE_OUTLINE_H

#include <stdbool.h>

#include "common/arena.h"

enum {
    OUTLINE_TITLE_CHARACTERS = 80,
    OUTLINE_WORDS_MAX = 12,
    OUTLINE_SECTIONS_MAX = 24,
};

struct outline {
    const char *title; /* at most OUTLINE_TITLE_CHARACTERS, never empty */
    const char *words[OUTLINE_WORDS_MAX];
    int word_count; /* at least 1 */
    int grade, sections;
    bool visual, examples, exercises;
};

/* prompt: valid UTF-8 without NULs. */
void outline_read(struct arena *a, const char *prompt, struct outline *o);

#endif
