/*
 * store: what generations write, behind their back.
 *
 * Writes wait in a queue, in order, and go out in batches: one transaction while
 * the one before is under way. What PostgreSQL could not take because it was away
 * is sent again when it is back; each write may be sent twice without harm. A
 * batch that one bad write spoils is sent again write by write, so that its
 * neighbours are stored. Nothing is dropped.
 */
#ifndef GENERATOR_STORE_H
#define GENERATOR_STORE_H

#include "common/db.h"

enum { STORE_BATCH = 50 };

struct store_write {
    struct arena *arena; /* owns call's arguments and this; destroyed when it is done */
    struct db_call call;
    /* held: the statement found the job still ours. On an error that no retry cures: failed. */
    void (*done)(void *arg, bool held, const struct err *failed);
    void *arg;
    struct store_write *next; /* private */
};

void store_init(struct db *db);

/* A write in an arena of its own, to be filled in and added. */
struct store_write *store_write_create(void);
void store_add(struct store_write *w);

/* Forget whom to tell: the write itself goes on. */
void store_forget(const void *arg);

/* Send what waits, if PostgreSQL is there and no batch is under way. */
void store_send(void);
bool store_empty(void);

#endif
