/*
 * rate: how often a user may do a thing.
 *
 * A token bucket for each user and thing: `count` in `seconds`, and `burst` at once. The buckets
 * are in a file that the responders of a host share: in RUNTIME_DIRECTORY, or else beside the
 * listening socket. So what one of them took, the others know, and nobody waits for PostgreSQL or
 * for a lock. Responders of another host have buckets of their own.
 */
#ifndef FCGI_RATE_H
#define FCGI_RATE_H

#include <stdint.h>

struct rate {
    const char *what; /* "requests" */
    long count;       /* 0: no limit */
    long seconds;     /* at most RATE_SECONDS_MAX */
    long burst;       /* as many as come in 2 * RATE_SECONDS_MAX at most */
};

enum { RATE_SECONDS_MAX = 60 };

/*
 * Map the file "rates" in RUNTIME_DIRECTORY, or else in the directory of the socket. A socket
 * without one, or a file that cannot be had, leaves each process with buckets of its own, and the
 * log says so of the latter.
 */
void rate_init(int listen_fd);
void rate_open(const char *path); /* the same, of a file; NULL: none */

/* Take a token: 0, or the whole seconds until there is one. */
long rate_take(const struct rate *r, const char *user);
long rate_take_at(const struct rate *r, const char *user, uint64_t now_us);

#endif
