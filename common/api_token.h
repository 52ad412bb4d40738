/*
 * api_token: api_tokens, as a responder uses them: by the SHA-256 of what a
 * client sends, which goes no further, and through a function that says no more
 * than whose it is. scripts/token makes and revokes them.
 */
#ifndef COMMON_API_TOKEN_H
#define COMMON_API_TOKEN_H

#include "common/db.h"

struct api_token {
    const char *name, *role; /* the user that its bearer is; "user" or "admin" */
};

/* False and ERR_UNAUTHORIZED if it is none, is revoked or has expired; or ERR_UNAVAILABLE. */
bool api_token_use(struct db *db, struct arena *a, const struct db_identity *who, const char *text,
                   int deadline_ms, struct api_token *token, struct err *e);

#endif
