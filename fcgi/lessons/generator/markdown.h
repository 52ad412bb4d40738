/* markdown: what a lesson's text tells about itself. Pure; ignores code. */
#ifndef GENERATOR_MARKDOWN_H
#define GENERATOR_MARKDOWN_H

#include "common/json.h"

/* The text of the first level-1 heading, at most 200 characters; NULL if there is none. */
const char *markdown_title(struct arena *a, const char *text);

/* How many level-2 headings; if none, level-3 ones; if none, 1. */
int markdown_sections(const char *text);

/*
 * The items of the first list behind a heading that holds the word, or else behind a line that
 * does, and before the next heading; at most 20.
 */
void markdown_put_list(struct json_out *o, const char *key, const char *text, const char *word);

#endif
