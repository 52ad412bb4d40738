/*
 * fuzz: what the targets have in common.
 *
 * A target is a file tests/fuzz/NAME.c with libFuzzer's entry; its first comment says what it
 * takes, what it asserts, and after "Covers:" which files it is for. It is linked with the product,
 * but for what it brings itself and for common/db.c: lib/db.c stands in for PostgreSQL.
 * lib/replay.c is a main() that runs files through a target without libFuzzer.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for every input. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must(%s)\n", __FILE__, __LINE__, #condition);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- lib/input.c ---- */

struct fuzz_part {
    const char *data;
    size_t len;
};

/* The part before the next line end, or all that is left, without it; false at the end. */
bool fuzz_line(struct fuzz_part *rest, struct fuzz_part *line);
/* The part before the next `by`, or all that is left; *rest is behind it. */
struct fuzz_part fuzz_until(struct fuzz_part *rest, const char *by);

bool fuzz_storable(const char *s, size_t len); /* valid UTF-8 without a NUL */
bool fuzz_contains(const char *s, size_t len, const char *part);

/* ---- lib/db.c ---- */

/* What the next statements answer, and what came of it. */
struct fuzz_db {
    int rows;         /* of each statement that may have several */
    bool fails;       /* PostgreSQL is away */
    bool many;        /* what is counted is much */
    const char *user; /* in whose name they have to be, if in any; NULL: anybody's */
    int calls;        /* so many segments were run */
};
extern struct fuzz_db fuzz_db;

#endif
