/*
 * fault: the models of the sample provider, each a way to answer or to fail.
 *
 * A model makes a reply out of a request, without sending it: main.c does that.
 * A new one is a line in fault.c's table, with a function if it is no plain
 * error.
 */
#ifndef FCGI_SAMPLE_FAULT_H
#define FCGI_SAMPLE_FAULT_H

#include "fcgi/sample/chat.h"

struct fault_reply {
    int status;       /* 0: hang up without an answer */
    const char *type; /* Content-Type */
    struct buf *body;
    size_t missing;    /* bytes announced behind the body that never come */
    long wait_ms;      /* before it */
    int retry_after_s; /* 0: no Retry-After */
};

struct fault_call;

struct fault {
    const char *name; /* NAME-N stands for every number from min to max */
    const char *help;
    void (*answer)(const struct fault_call *c, struct fault_reply *r); /* NULL: the error */
    struct chat_error error;
    int retry_after_s;
    long min, max;
};

/* Ends with {0}. The first is what a request without a model gets. */
extern const struct fault faults[];

/* NULL if there is no such model. *n: the number in its name, else 0. */
const struct fault *fault_find(const char *model, long *n);

/* The reply is the arena's. */
void fault_answer(const struct fault *f, long n, struct arena *a, const struct chat_request *q,
                  struct fault_reply *r);

/* An error of the protocol itself. */
void fault_refuse(struct arena *a, const struct chat_error *e, struct fault_reply *r);

#endif
