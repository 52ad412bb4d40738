/*
 * export: all traces that a filter matches, as one file, however many they are.
 *
 * Page after page, each a transaction of its own, in constant memory and at the
 * pace of the client, if it has one: http.c gives up one that takes next to nothing.
 * An export holds its process for as long as it lasts, so only half of them may, and
 * one of a user at a time.
 */
#ifndef FCGI_TRACES_EXPORT_H
#define FCGI_TRACES_EXPORT_H

#include "fcgi/http.h"

void export_send(struct http_req *req);

#endif
