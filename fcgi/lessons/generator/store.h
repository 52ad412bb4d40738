/*
 * store: what generations write, behind their back.
 *
 * Writes wait in a queue, in order, and go out in batches: one transaction while
 * the one before is under way. With PostgreSQL away, or there and taking nothing,
 * they go to the spool, and from there, before anything newer, when it takes them
 * again; each may be sent twice without harm. A batch that one bad write spoils is sent again write
 * by write, so that its neighbours are stored. Nothing is dropped: what neither PostgreSQL nor the
 * disk takes stays in memory.
 */
#ifndef GENERATOR_STORE_H
#define GENERATOR_STORE_H

#include "common/db.h"

enum { STORE_BATCH = 50, STORE_PATIENCE_MS = 500 };

struct store_write {
    struct arena *arena; /* owns call's arguments and this; destroyed when it is done */
    struct db_call call;
    /* held: the statement found the job still ours. On an error that no retry cures: failed. */
    void (*done)(void *arg, bool held, const struct err *failed);
    void *arg;
    struct store_write *next; /* private, with size: its bytes in the spool */
    size_t size;
};

/* The spool is open. */
void store_init(struct db *db);

/* A write in an arena of its own, to be filled in and added. */
struct store_write *store_write_create(void);
void store_add(struct store_write *w);

/* Forget whom to tell: the write itself goes on. */
void store_forget(const void *arg);

/* Do what can be done now: send a batch, replay, or spool. */
void store_send(void);

/*
 * The process ends: what PostgreSQL has not taken is brought to the disk. Blocks. False, and
 * logged: something found no room there either.
 */
bool store_finish(void);

/* Nothing waits in memory, and nothing is under way. */
bool store_idle(void);
/* Nothing waits on the disk either. */
bool store_replayed(void);
/* Whether the spool, and memory, could take more. While not, nothing new should be begun. */
bool store_safe(void);

#endif
