/*
 * err: the one error type.
 *
 * A function that can fail returns bool (or a pointer, NULL on failure) and
 * fills the caller's struct err. The kind says what the caller can do about it;
 * the text names the member or thing first, in lower case, without a full stop.
 * It may be shown to the client, except for ERR_DATA, ERR_INTERNAL and
 * ERR_UNAVAILABLE, whose text is for the log. http.c alone turns a kind into an HTTP status.
 */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include <stdbool.h>

enum err_kind {
    ERR_NONE,
    ERR_INPUT,         /* the request is malformed: do not repeat it */
    ERR_UNAUTHORIZED,  /* nobody is named */
    ERR_FORBIDDEN,     /* somebody is, and may not */
    ERR_NOT_FOUND,     /* no such thing, or not the caller's */
    ERR_METHOD,        /* the path exists, not with this method */
    ERR_CONFLICT,      /* the thing is in another state than the request assumes */
    ERR_TOO_LARGE,     /* over a named maximum */
    ERR_MEDIA_TYPE,    /* a body, but not JSON */
    ERR_UNPROCESSABLE, /* well-formed, contradicts an earlier request */
    ERR_RATE,          /* too many: later */
    ERR_DATA,          /* a value that PostgreSQL does not take, and we should not have sent */
    ERR_INTERNAL,      /* a bug of ours */
    ERR_BUSY,          /* others are in the way: later */
    ERR_UNAVAILABLE,   /* something we need is away: later */
    ERR_KINDS
};

struct err {
    enum err_kind kind;
    long wait_s; /* ERR_RATE: until it may be tried again; 0: nobody knows, shortly */
    char text[256];
};

/* Fill *e, without secrets, and return false, so that failing is one line: return err_set(...). */
bool err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A name as a client gave it, for a text that says what is wrong with it: without secrets, cut. */
struct err_name {
    char text[101];
};
struct err_name err_name(const char *given);

#endif
