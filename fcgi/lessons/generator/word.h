/*
 * word: whose code is running, told to the next process of this slot.
 *
 * A page shared with a file: it outlives a crash. The generator names the lesson
 * whose code it runs, and nobody while it waits; a crash (a fatal signal of the
 * process's own making) marks that name. So only a job whose own code crashed is
 * charged; a kill from outside charges nobody.
 */
#ifndef GENERATOR_WORD_H
#define GENERATOR_WORD_H

#include "common/err.h"

/* The lesson whose code crashed the former process, "" for none; kept until word_clear(). */
bool word_open(const char *path, const char **last, struct err *e);
void word_close(void);

/* The death was charged: it need not be told again. Before this, word_enter() does nothing. */
void word_clear(void);

/* Code of this lesson runs until word_leave(); may nest, the inner one counts. */
const char *word_enter(const char *lesson_id); /* gives what to leave to */
void word_leave(const char *before);

#endif
