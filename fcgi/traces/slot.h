/*
 * slot: so many of a service's processes at once, and no more.
 *
 * A slot is a name in the kernel (an abstract socket address) that one process
 * can have: it is free again when the process gives it back, or dies. The names
 * are those of the listening socket that the processes share.
 */
#ifndef FCGI_TRACES_SLOT_H
#define FCGI_TRACES_SLOT_H

/* A slot of `count`, to be closed; -1 when all are taken. */
int slot_take(const char *what, int count);

/* The one slot of its owner, to be closed; -1 when it is taken. */
int slot_take_own(const char *what, const char *owner);

#endif
