/*
 * record: what a responder answers, as FastCGI records straight to the connection (FastCGI 1.0, 3.3
 * and 5.3). libfcgi copies into records of 8 KB, a write(2) each; here up to 2 MB of the very bytes
 * are one sendmsg(2).
 */
#ifndef FCGI_RECORD_H
#define FCGI_RECORD_H

#include <stdbool.h>
#include <stddef.h>

/* A piece of an answer; the bytes are not copied. */
struct record_part {
    const char *data;
    size_t len;
    struct record_part *next;
};

/*
 * Write the parts to the standard output of request `id` (1 to 65535), and then, if `last`, its
 * end. Waits as long as SO_SNDTIMEO says. False, with errno: the peer does not take it.
 */
bool record_write(int fd, int id, const struct record_part *first, bool last);

#endif
