/* request: the body of POST /api/lessons, checked member by member. */
#ifndef LESSONS_REQUEST_H
#define LESSONS_REQUEST_H

#include "common/json.h"
#include "common/lesson.h"

enum { REQUEST_OUTLINE_MAX = 20000, REQUEST_TITLE_MAX = 50, REQUEST_KEY_MAX = 255 };

/*
 * False and ERR_INPUT naming the member. The strings belong to the arena; outline and title are
 * without secrets.
 */
bool request_read(struct arena *a, struct json_object *body, struct lesson_request *r,
                  struct err *e);

/* Optional provider and model of POST …/regenerate; NULL where absent. */
bool request_read_regenerate(struct json_object *body, const char **provider, const char **model,
                             struct err *e);

#endif
