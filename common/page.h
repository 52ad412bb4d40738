/*
 * page: a part of a list that is ordered by a value and the id.
 *
 * A list statement selects (doc, value, id), one row more than asked for, so
 * that has_more is known without counting. A cursor names the last row shown, so
 * deep pages cost what the first does; it is opaque, and bound to what the list
 * was filtered by.
 */
#ifndef COMMON_PAGE_H
#define COMMON_PAGE_H

#include "common/db.h"

enum { PAGE_LIMIT_DEFAULT = 50, PAGE_LIMIT_MAX = 200, PAGE_OFFSET_MAX = 1000000000 };

/* What is asked for. The scope names list, order, filters and their values. */
struct page_request {
    long limit, offset;
    bool by_number;     /* the value is a number, or unknown; else a time */
    bool numbered;      /* the id is a whole number; else a UUID */
    const char *cursor; /* as given, or NULL */
    const char *scope;
};

struct page_position {
    const char *value; /* of the last row shown; NULL: unknown */
    const char *id;    /* NULL: at the beginning */
};

struct page {
    struct db_rows *rows;
    int count;
    const char *next_cursor; /* NULL: there is no more */
    long long total;         /* -1: not counted */
};

/* Where the request's cursor points. False and ERR_INPUT if it is not one of this scope. */
bool page_begin(struct arena *a, const struct page_request *r, struct page_position *at,
                struct err *e);
/* Make a page of what the statement gave. */
void page_end(struct arena *a, const struct page_request *r, struct db_rows *rows,
              struct page *page);

#endif
