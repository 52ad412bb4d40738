#include "fcgi/traces/query.h"

void query_read_filter(const struct http_req *req, struct trace_filter *f)
{
    *f = (struct trace_filter){.owner = req->admin ? NULL : req->user};
    for (int by = 0; by < TRACE_FILTER_COUNT; by++)
        f->values[by] = http_query(req, trace_filter_names[by]);
}
