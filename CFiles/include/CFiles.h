#ifndef CFILES_H
#define CFILES_H

#include <sqlite3.h>
#include <yaml.h>

/*
 * The formats of files that are read and written away from the engine: records by SQLite, scenarios by
 * libyaml.
 */

/* sqlite3_bind_text and sqlite3_bind_blob of bytes that SQLite copies: SQLITE_TRANSIENT is a cast that
 * Swift does not see. An empty blob is not NULL. */
int squall_sqlite_bind_text(sqlite3_stmt *statement, int index, const void *bytes, size_t count);
int squall_sqlite_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, size_t count);

#endif
