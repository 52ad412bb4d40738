/*
 * audit: audit_log, as admins read it. Triggers write it, and scripts/user.
 */
#ifndef COMMON_AUDIT_H
#define COMMON_AUDIT_H

#include "common/page.h"

/* Exact values; NULL: any. */
struct audit_filter {
    const char *actor, *action, *object;
    const char *from, *to; /* RFC 3339, from is in it and to is not */
};

/*
 * Newest first; the page's scope is made here. False and ERR_INPUT (naming the member) or
 * ERR_UNAVAILABLE.
 */
bool audit_list(struct db *db, struct arena *a, const struct db_identity *who,
                struct audit_filter *f, struct page_request *r, int deadline_ms, struct page *page,
                struct err *e);

#endif
