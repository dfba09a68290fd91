#include "CFiles.h"

int squall_sqlite_bind_text(sqlite3_stmt *statement, int index, const void *bytes, size_t count)
{
	return sqlite3_bind_text64(statement, index, count ? bytes : "", count, SQLITE_TRANSIENT,
				   SQLITE_UTF8);
}

int squall_sqlite_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, size_t count)
{
	return sqlite3_bind_blob64(statement, index, count ? bytes : "", count, SQLITE_TRANSIENT);
}
