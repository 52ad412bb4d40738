/*
 * spool: what PostgreSQL could not take while it was away, on the local disk.
 *
 * A frame is a call of a statement: its name, its arguments, a length and a CRC.
 * Frames are appended by a thread and on disk (fdatasync) before anyone is told,
 * so a SIGKILL loses none; a flipped bit costs the damaged frame, and no other.
 * They are replayed in order when PostgreSQL is back. The size is bounded, and
 * some of the disk is left free; what does not fit stays in memory, and the
 * generator claims nothing more. It is not a queue for normal times.
 *
 * Beside the spool, for a person to look at: damaged-<name>-<n> was replayed but
 * for what is damaged in it, dead-<name>-<n> is a call that PostgreSQL refused.
 * Both are files of the spool: named spool-<name>-<n>, with a number that is free,
 * they are replayed by the next process.
 */
#ifndef GENERATOR_SPOOL_H
#define GENERATOR_SPOOL_H

#include "common/db.h"

/* In dir, which must exist: spool-<name>-<n>. Finds what is there. False and ERR_INPUT. */
bool spool_open(const char *dir, const char *name, long max_mb, long reserve_mb, struct err *e);
void spool_close(void);

/*
 * So many bytes may be added now, beside those that were, by size and by what is free on the disk;
 * 0: none. What a call takes of them is its spool_frame_size().
 */
size_t spool_room(void);
bool spool_has_room(void); /* for any */
size_t spool_frame_size(const struct db_call *call);

/* ---- writing: one batch at a time ---- */

bool spool_writing(void);
void spool_add(const struct db_call *call);
/* Write what was added; done(stored) runs in spool_advance(). */
void spool_write(void (*done)(bool stored));
/* Becomes readable when a batch was written. */
int spool_fd(void);
void spool_advance(void);

/* ---- replaying ---- */

bool spool_empty(void); /* all that is on disk was replayed */
/*
 * The next calls, at most max; statements are found by name, arguments belong to the arena.
 * Damaged frames are skipped and logged, and their file is kept. 0: nothing is left.
 */
int spool_read(struct arena *a, const struct db_statement *(*find)(const char *name),
               struct db_call calls[], int max);
/* The first n of those last read are stored: forget them. */
void spool_forget(int n);

/*
 * Keep a call that PostgreSQL refuses for ever, in a file of its own, dead-<name>-<n>. On disk when
 * it returns: for rare use only. False, and logged: it could not be kept.
 */
bool spool_bury(const struct db_call *call);

#endif
