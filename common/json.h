/*
 * json: reading what comes from outside (json-c, behind this header), and
 * writing by appending to a buffer.
 *
 * Parsed trees belong to the arena. Getters borrow from the tree; a missing
 * key, a wrong type or a null all read as "absent". What PostgreSQL answers is
 * never parsed: its rows are passed through as text.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"

struct json_object; /* json-c's, never touched outside json.c */

/*
 * From a client: strict RFC 8259, valid UTF-8, no U+0000, depth 32, at most 100
 * members in the outermost object, none twice. Otherwise NULL and ERR_INPUT, which
 * begins with "json: ", or names the member: "outline: given twice".
 */
struct json_object *json_parse_client(struct arena *a, const char *text, size_t len, struct err *e);
/*
 * From a provider or a file: as json-c takes it, depth 64. Ill-formed bytes come through; half a
 * surrogate pair, which json-c would make U+FFFD untold, becomes the byte FF. NULL and ERR_INPUT.
 */
struct json_object *json_parse(struct arena *a, const char *text, size_t len, struct err *e);
/* A whole file; NULL and ERR_INPUT naming the path. */
struct json_object *json_parse_file(struct arena *a, const char *path, struct err *e);

/* Follow keys and indexes: json_at(tree, "choices", "0", "message", NULL). */
struct json_object *json_at(struct json_object *tree, ...) __attribute__((sentinel));

bool json_is_object(struct json_object *node);
bool json_is_array(struct json_object *node);
bool json_is_null(struct json_object *node); /* absent, too */
size_t json_length(struct json_object *array);
struct json_object *json_item(struct json_object *array, size_t i);

const char *json_text(struct json_object *node);               /* NULL unless a string */
const char *json_bytes(struct json_object *node, size_t *len); /* a string with any NULs in it */
bool json_int(struct json_object *node, int64_t *value);       /* true if a whole number */
bool json_number(struct json_object *node, double *value);
bool json_flag(struct json_object *node, bool *value);

/* The node as JSON text, without blanks; it lives as long as the tree. */
const char *json_print(struct json_object *node);

/* The first member of an object that is not among the names; NULL if there is none. */
const char *json_unknown_member(struct json_object *object, const char *const names[]);

/* Writing. A key is NULL inside arrays and for the outermost value. */
struct json_out {
    struct buf *buf;
    bool comma;
};

void json_begin(struct json_out *o, const char *key, char bracket); /* '{' or '[' */
void json_end(struct json_out *o, char bracket);
void json_put_text(struct json_out *o, const char *key, const char *s); /* NULL: null */
void json_put_bytes(struct json_out *o, const char *key, const char *s, size_t len);
void json_put_int(struct json_out *o, const char *key, int64_t value);
void json_put_number(struct json_out *o, const char *key, double value); /* NaN: null */
void json_put_bool(struct json_out *o, const char *key, bool value);
void json_put_null(struct json_out *o, const char *key);
void json_put_raw(struct json_out *o, const char *key, const char *json); /* NULL: null */

/* A JSON string literal of valid UTF-8, quotes included. */
void json_write_string(struct buf *b, const char *s, size_t len);

#endif
