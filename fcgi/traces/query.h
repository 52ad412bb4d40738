/*
 * query: the parameters that routes of the traces API have in common.
 */
#ifndef FCGI_TRACES_QUERY_H
#define FCGI_TRACES_QUERY_H

#include "common/trace.h"
#include "fcgi/api.h"

/* The filters as they are given; whoever uses them checks them. */
void query_read_filter(const struct http_req *req, struct trace_filter *f);

#endif
