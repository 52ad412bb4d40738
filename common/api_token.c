#include "common/api_token.h"

#include <string.h>

#include "common/sha256.h"

enum { TOKEN_LENGTH = 46 }; /* "lt_" and 256 bits in base64url (RFC 4648, 5) */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const struct db_statement use = {
    "api_token_use",
    "SELECT name, role FROM api_token_use($1)",
    1,
};

static bool is_token(const char *text)
{
    return strlen(text) == TOKEN_LENGTH && strncmp(text, "lt_", 3) == 0 &&
           strspn(text + 3, alphabet) == TOKEN_LENGTH - 3;
}

bool api_token_use(struct db *db, struct arena *a, const struct db_identity *who, const char *text,
                   int deadline_ms, struct api_token *token, struct err *e)
{
    char hash[SHA256_HEX_SIZE];
    struct db_call call = {&use, {{0}}};
    struct db_rows *rows;

    if (!is_token(text))
        return err_set(e, ERR_UNAUTHORIZED, "token: not a valid one");
    sha256_hex(text, strlen(text), hash);
    call.args[0] = db_arg(hash);
    if (!db_run(db, a, who, &call, 1, &rows, DB_RETRY, deadline_ms, e))
        return false;
    if (db_count(rows) == 0)
        return err_set(e, ERR_UNAUTHORIZED, "token: not a valid one");
    *token = (struct api_token){db_value(rows, 0, 0), db_value(rows, 0, 1)};
    return true;
}
