/*
 * config: the settings, all from the environment, secrets also from $CREDENTIALS_DIRECTORY, all in
 * one table.
 *
 * The table drives parsing, --help and the README. A new setting is a line in
 * config.c. Names are looked up at start-up and in slow paths; asking for one
 * that is not in the table is a bug and aborts. Secrets are handed to redact
 * when read and print as set/unset.
 */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include <stdbool.h>

#include "common/err.h"

enum config_program {
    CONFIG_TRACES = 1,
    CONFIG_LESSONS = 2,
    CONFIG_GENERATOR = 4,
    CONFIG_SAMPLE = 8,
    CONFIG_SCRIPTS = 16, /* read by scripts/run and its nginx, not by a program */
};

/*
 * Check every setting the program reads, and let it leave no core file; false and ERR_INPUT naming
 * the first bad one. Answers
 * --help and --settings-markdown (all settings, for the README) and exits.
 */
bool config_init(enum config_program program, const char *name, int argc, char *argv[],
                 struct err *e);

/* An empty value counts as unset; unset gives the default, NULL when there is none. */
const char *config_text(const char *name);
long config_int(const char *name);
bool config_bool(const char *name);

#endif
