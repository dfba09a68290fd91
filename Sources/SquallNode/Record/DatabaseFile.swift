internal import CFiles
internal import NIOConcurrencyHelpers

/// One connection to a file of SQLite's (https://sqlite.org/cintro.html), for one thread at a time: who
/// comes second waits.
final class DatabaseFile: Sendable {
  /// Nil once closed.
  private let connection: NIOLockedValueBox<Database?>

  /// Waits up to `busyNs` for what other processes have locked.
  init(path: String, isReadOnly: Bool, busyNs: UInt64) throws {
    var handle: OpaquePointer?
    let flags = isReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
    let code = unsafe sqlite3_open_v2(path, &handle, flags | SQLITE_OPEN_NOMUTEX, nil)
    // There is a handle even of a failure, unless there is no memory.
    guard let handle = unsafe handle else { throw DatabaseError(code: code, message: nil) }
    let database = unsafe Database(handle)
    do {
      guard code == SQLITE_OK else { throw database.error }
      unsafe sqlite3_busy_timeout(handle, Int32(busyNs / 1_000_000))
      try database.execute(sql: "PRAGMA foreign_keys = ON")
    } catch {
      unsafe sqlite3_close_v2(handle)
      throw error
    }
    connection = NIOLockedValueBox(database)
  }

  deinit { close() }

  /// Puts what is in the log into the file, when no other connection is open. What comes later fails.
  func close() {
    connection.withLockedValue { database in
      if let database { unsafe sqlite3_close_v2(database.handle) }
      database = nil
    }
  }

  /// All of it happens, or nothing. Other writers wait.
  func write<Value>(_ body: (Database) throws -> Value) throws -> Value {
    try transaction("IMMEDIATE", body)
  }

  /// Sees the file as it is at one instant.
  func read<Value>(_ body: (Database) throws -> Value) throws -> Value {
    try transaction("DEFERRED", body)
  }

  /// Without a transaction.
  func direct<Value>(_ body: (Database) throws -> Value) throws -> Value {
    try connection.withLockedValue { database in
      guard let database else { throw DatabaseError(code: SQLITE_MISUSE, message: "it is closed") }
      return try body(database)
    }
  }

  private func transaction<Value>(
    _ kind: String, _ body: (Database) throws -> Value
  ) throws -> Value {
    try direct { database in
      try database.execute(sql: "BEGIN " + kind)
      do {
        let value = try body(database)
        try database.execute(sql: "COMMIT")
        return value
      } catch {
        // SQLite has done it already after some errors, such as a full disk.
        if unsafe sqlite3_get_autocommit(database.handle) == 0 {
          try? database.execute(sql: "ROLLBACK")
        }
        throw error
      }
    }
  }
}

/// What SQLite refused.
struct DatabaseError: Error, CustomStringConvertible {
  /// Without what the extended codes add (https://sqlite.org/rescode.html).
  let code: Int32
  let message: String?

  init(code: Int32, message: String?) {
    self.code = code & 0xff
    self.message = message
  }

  var description: String { "SQLite error \(code)" + (message.map { ": \($0)" } ?? "") }
}

/// An open connection, for as long as a closure of its file's has it. Behind the file's lock, so that
/// it may go from thread to thread.
@safe struct Database: @unchecked Sendable {
  fileprivate let handle: OpaquePointer

  @unsafe fileprivate init(_ handle: OpaquePointer) { unsafe self.handle = handle }

  fileprivate var error: DatabaseError {
    unsafe DatabaseError(
      code: sqlite3_errcode(handle),
      message: sqlite3_errmsg(handle).map { unsafe String(cString: $0) })
  }

  /// Rows that the last statement changed.
  var changesCount: Int { unsafe Int(sqlite3_changes(handle)) }

  var lastInsertedRowID: Int64 { unsafe sqlite3_last_insert_rowid(handle) }

  /// Any number of statements; their rows are dropped.
  func execute(sql: String) throws {
    guard unsafe sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else { throw error }
  }

  /// One statement with `?` for each argument.
  func execute(sql: String, arguments: [any DatabaseValue]) throws {
    try forEach(sql: sql, arguments: arguments) { _ in }
  }

  func rows(sql: String, arguments: [any DatabaseValue] = []) throws -> [Row] {
    var rows: [Row] = []
    try forEach(sql: sql, arguments: arguments) { rows.append($0) }
    return rows
  }

  /// The first of them.
  func row(sql: String, arguments: [any DatabaseValue] = []) throws -> Row? {
    try rows(sql: sql, arguments: arguments).first
  }

  func hasTable(_ name: String) throws -> Bool {
    let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return try row(sql: sql, arguments: [name]) != nil
  }

  /// Gives rows away as they are found.
  func forEach(
    sql: String, arguments: [any DatabaseValue] = [], _ body: (Row) throws -> Void
  ) throws {
    var statement: OpaquePointer?
    guard unsafe sqlite3_prepare_v2(handle, sql, -1, &statement, nil) == SQLITE_OK,
      let statement = unsafe statement
    else { throw error }
    defer { unsafe sqlite3_finalize(statement) }
    for (index, argument) in arguments.enumerated() {
      try unsafe bind(argument.cell, to: statement, Int32(index + 1))
    }
    while true {
      switch unsafe sqlite3_step(statement) {
      case SQLITE_ROW: try body(unsafe Row(statement))
      case SQLITE_DONE: return
      default: throw error
      }
    }
  }

  private func bind(_ cell: Row.Cell, to statement: OpaquePointer, _ index: Int32) throws {
    let code =
      switch cell {
      case .null: unsafe sqlite3_bind_null(statement, index)
      case .integer(let number): unsafe sqlite3_bind_int64(statement, index, number)
      case .real(let number): unsafe sqlite3_bind_double(statement, index, number)
      case .text(let text):
        unsafe Array(text.utf8).withUnsafeBytes {
          unsafe squall_sqlite_bind_text(statement, index, $0.baseAddress, $0.count)
        }
      case .blob(let bytes):
        unsafe bytes.withUnsafeBytes {
          unsafe squall_sqlite_bind_blob(statement, index, $0.baseAddress, $0.count)
        }
      }
    guard code == SQLITE_OK else { throw error }
  }
}

/// A row that was found, by its columns' names.
struct Row {
  enum Cell: Equatable {
    case null
    case integer(Int64)
    case real(Double)
    case text(String)
    case blob([UInt8])
  }

  private var cells: [String: Cell] = [:]

  fileprivate init(_ statement: OpaquePointer) {
    for index in 0..<(unsafe sqlite3_column_count(statement)) {
      guard let name = unsafe sqlite3_column_name(statement, index) else { continue }
      unsafe cells[String(cString: name)] = Self.cell(statement, index)
    }
  }

  private static func cell(_ statement: OpaquePointer, _ index: Int32) -> Cell {
    switch unsafe sqlite3_column_type(statement, index) {
    case SQLITE_INTEGER: return unsafe .integer(sqlite3_column_int64(statement, index))
    case SQLITE_FLOAT: return unsafe .real(sqlite3_column_double(statement, index))
    case SQLITE_TEXT: return unsafe .text(String(decoding: bytes(statement, index), as: UTF8.self))
    case SQLITE_BLOB: return unsafe .blob(Array(bytes(statement, index)))
    default: return .null
    }
  }

  private static func bytes(_ statement: OpaquePointer, _ index: Int32) -> UnsafeRawBufferPointer {
    // The pointer first: it may be another one once the count is known (sqlite3_column_blob(3)).
    let start = unsafe sqlite3_column_blob(statement, index)
    return unsafe UnsafeRawBufferPointer(
      start: start, count: Int(sqlite3_column_bytes(statement, index)))
  }

  /// Throws where the column is not there, or holds something else.
  subscript<Value: DatabaseValue>(column: String) -> Value {
    get throws {
      guard let value = cells[column].flatMap(Value.init(cell:)) else {
        throw DatabaseError(code: SQLITE_CORRUPT, message: "\(column) is of another kind")
      }
      return value
    }
  }

  /// See `UInt64.signed`.
  func number(_ column: String) throws -> UInt64 {
    let number: Int64 = try self[column]
    return UInt64(bitPattern: number)
  }
}

/// What a cell can be.
protocol DatabaseValue {
  var cell: Row.Cell { get }
  /// Nil of a cell that holds something else.
  init?(cell: Row.Cell)
}

extension DatabaseValue where Self: FixedWidthInteger {
  var cell: Row.Cell { .integer(Int64(self)) }

  init?(cell: Row.Cell) {
    guard case .integer(let number) = cell else { return nil }
    self.init(exactly: number)
  }
}

extension Int64: DatabaseValue {}
extension Int32: DatabaseValue {}
extension Int: DatabaseValue {}
extension UInt8: DatabaseValue {}
extension UInt16: DatabaseValue {}
extension UInt32: DatabaseValue {}

extension Bool: DatabaseValue {
  var cell: Row.Cell { .integer(self ? 1 : 0) }

  init?(cell: Row.Cell) {
    guard case .integer(let number) = cell else { return nil }
    self = number != 0
  }
}

extension Double: DatabaseValue {
  var cell: Row.Cell { .real(self) }

  init?(cell: Row.Cell) {
    guard case .real(let number) = cell else { return nil }
    self = number
  }
}

extension String: DatabaseValue {
  var cell: Row.Cell { .text(self) }

  init?(cell: Row.Cell) {
    guard case .text(let text) = cell else { return nil }
    self = text
  }
}

extension [UInt8]: DatabaseValue {
  var cell: Row.Cell { .blob(self) }

  init?(cell: Row.Cell) {
    guard case .blob(let bytes) = cell else { return nil }
    self = bytes
  }
}

extension Optional: DatabaseValue where Wrapped: DatabaseValue {
  var cell: Row.Cell { self?.cell ?? .null }

  init?(cell: Row.Cell) {
    if cell == .null {
      self = .none
    } else if let value = Wrapped(cell: cell) {
      self = value
    } else {
      return nil
    }
  }
}
