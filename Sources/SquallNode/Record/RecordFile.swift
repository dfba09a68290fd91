internal import CFiles
internal import Glibc
internal import SquallCluster
internal import SquallEngine
internal import SquallLoad

/// A file of runs: SQLite (https://sqlite.org/fileformat2.html) with a write-ahead log, so that any
/// number of commands may read while masters write. Readable by its owner only, since a plan holds
/// the headers it sends.
///
/// `squall master` keeps its runs here as they go; what is in the file outlives any process, and with
/// `synchronous = FULL` the host's power as well.
package final class RecordFile: Sendable {
  /// Why a record cannot be used.
  package enum Trouble: Error, Equatable {
    /// The world does not allow it, such as a full or read-only disk. A run can do without.
    case unavailable(String)
    /// It is no record, or not one of this version.
    case refused(String)

    package var sentence: String {
      switch self {
      case .unavailable(let sentence), .refused(let sentence): sentence
      }
    }

    package var isRefusal: Bool {
      switch self {
      case .unavailable: false
      case .refused: true
      }
    }
  }

  package enum Access: Sendable {
    case reading, writing
  }

  /// "SQLL"; at byte 68 of the file, big-endian.
  private static let applicationID: Int32 = 0x5351_4c4c
  /// Bump when a table changes.
  private static let version: Int32 = 5
  /// How long a commit waits for another process's.
  static let busyNs: UInt64 = 10_000_000_000

  package let path: String
  let database: DatabaseFile
  /// Ours alone, for locks. Closed after the database: closing any descriptor of the file takes away
  /// the POSIX locks that SQLite has on it (fcntl(2)).
  private let descriptor: Int32

  /// Where runs are kept unless told otherwise.
  package static var standardPath: String { DataFolder.path + "/record.db" }

  /// Opens the file; for writing, makes it and its folder where there are none.
  package init(path: String, for access: Access) throws(Trouble) {
    self.path = path
    if access == .writing, path == Self.standardPath {
      do throws(Complaint) {
        try DataFolder.create(DataFolder.path)
      } catch {
        throw .unavailable(String(error.sentence.dropLast()))
      }
    }
    let descriptor = try Self.open(path, access)
    do throws(Trouble) {
      try Self.checkHeader(descriptor, path, access)
      database = try Self.connect(path, access)
    } catch {
      close(descriptor)
      throw error
    }
    self.descriptor = descriptor
  }

  deinit {
    database.close()
    close(descriptor)
  }

  private static func open(_ path: String, _ access: Access) throws(Trouble) -> Int32 {
    let flags = access == .writing ? O_RDWR | O_CREAT : O_RDONLY
    let descriptor = unsafe Glibc.open(path, flags | O_CLOEXEC, 0o600)
    guard descriptor < 0 else { return descriptor }
    switch errno {
    case ENOENT where access == .reading: throw .refused("there is no record \(path)")
    case ENOENT, ENOTDIR: throw .refused("the folder of \(path) does not exist")
    case EISDIR: throw .refused("\(path) is a folder")
    case let code: throw .unavailable("\(path) cannot be opened: \(SystemError.explain(code))")
    }
  }

  /// Before SQLite sees the file: it would take any database for its own.
  private static func checkHeader(
    _ descriptor: Int32, _ path: String, _ access: Access
  ) throws(Trouble) {
    guard isRegularFile(descriptor)
    else { throw .unavailable("\(path) is no file that can hold a record") }
    var header = [UInt8](repeating: 0, count: 100)
    let count = unsafe pread(descriptor, &header, header.count, 0)
    guard count >= 0 else {
      throw .unavailable("\(path) cannot be read: \(SystemError.explain(errno))")
    }
    if count == 0, access == .writing { return }
    let id = header[68..<72].reduce(Int32(0)) { $0 << 8 | Int32($1) }
    guard count == header.count, header.starts(with: "SQLite format 3\0".utf8), id == applicationID
    else { throw .refused("\(path) is no record of squall") }
  }

  private static func connect(_ path: String, _ access: Access) throws(Trouble) -> DatabaseFile {
    // Who may write also tidies the log away when it was the last to look.
    let isWritable = unsafe Glibc.access(path, W_OK) == 0
    return try Self.attempt(path) {
      let database = try DatabaseFile(
        path: path, isReadOnly: access == .reading && !isWritable, busyNs: busyNs)
      try database.direct { db in
        try db.execute(sql: "PRAGMA synchronous = FULL")
        if access == .reading { try db.execute(sql: "PRAGMA query_only = 1") }
      }
      if access == .writing {
        try database.write { db in
          if try userVersion(db) == 0 { try create(db) }
        }
        try database.direct { try $0.execute(sql: "PRAGMA journal_mode = WAL") }
      }
      let version = try database.read { try userVersion($0) }
      guard version == Self.version else {
        throw Trouble.refused(
          "\(path) was made by another version of squall (format \(version), this one reads "
            + "\(Self.version)): read it with that one, or name another file with --record")
      }
      return database
    }
  }

  private static func userVersion(_ db: Database) throws -> Int32 {
    try db.row(sql: "PRAGMA user_version")?["user_version"] ?? 0
  }

  /// `position` is the order of writing. Numbers of 64 bits are stored as SQLite has them, signed.
  private static func create(_ db: Database) throws {
    try db.execute(
      sql: """
        PRAGMA application_id = \(applicationID);
        PRAGMA user_version = \(version);
        CREATE TABLE run (
          number INTEGER PRIMARY KEY,
          id TEXT NOT NULL UNIQUE,           -- 16 hexadecimal digits
          started_at_ns INTEGER NOT NULL,    -- wall clock
          clock_ns INTEGER NOT NULL,         -- the master's clock at started_at_ns
          boot TEXT NOT NULL,                -- of the host whose clock that is
          clock_lead_ns INTEGER NOT NULL,    -- the master's clock less the host's
          interrupted INTEGER,
          is_whole INTEGER,                  -- 0: recording failed on the way
          ended_at_ns INTEGER,
          -- What may be long is last, so that the rest is had without it.
          head TEXT NOT NULL,                -- JSON: command line, host, settings
          plan BLOB NOT NULL,
          result TEXT                        -- JSON, as --format json prints it; none until the end
        ) STRICT;
        \(summaryTable)
        CREATE TABLE annotation (            -- what was said of it since
          run INTEGER PRIMARY KEY REFERENCES run,
          text TEXT NOT NULL                 -- JSON
        ) STRICT;
        CREATE TABLE agent (
          position INTEGER PRIMARY KEY,
          run INTEGER NOT NULL REFERENCES run,
          agent INTEGER NOT NULL,
          host TEXT NOT NULL,
          process INTEGER NOT NULL,          -- its id there; 0 when it did not say
          build TEXT NOT NULL,
          cpus TEXT NOT NULL,                -- JSON: the CPU of each worker
          UNIQUE (run, agent)
        ) STRICT;
        CREATE TABLE decision (              -- deals, start, stop, end
          position INTEGER PRIMARY KEY,
          run INTEGER NOT NULL REFERENCES run,
          entry BLOB NOT NULL
        ) STRICT;
        CREATE INDEX decision_of_run ON decision (run);
        CREATE TABLE batch (
          position INTEGER PRIMARY KEY,
          run INTEGER NOT NULL REFERENCES run,
          agent INTEGER NOT NULL,
          worker INTEGER NOT NULL,
          life INTEGER NOT NULL,
          sequence INTEGER NOT NULL,
          last_interval INTEGER NOT NULL,
          phase INTEGER NOT NULL,
          sent INTEGER NOT NULL,
          ok INTEGER NOT NULL,
          not_ok INTEGER NOT NULL,
          entry BLOB NOT NULL,
          UNIQUE (run, agent, worker, life, sequence)
        ) STRICT;
        CREATE TABLE incarnation (           -- a worker's life that has ended, by its own account
          position INTEGER PRIMARY KEY,
          run INTEGER NOT NULL REFERENCES run,
          agent INTEGER NOT NULL,
          worker INTEGER NOT NULL,
          life INTEGER NOT NULL,
          sent INTEGER NOT NULL,
          ok INTEGER NOT NULL,
          not_ok INTEGER NOT NULL,
          entry BLOB NOT NULL,
          UNIQUE (run, agent, worker, life)
        ) STRICT;
        """)
  }

  /// SQLite's errors as sentences.
  static func attempt<Value>(_ path: String, _ body: () throws -> Value) throws(Trouble) -> Value {
    do {
      return try body()
    } catch let trouble as Trouble {
      throw trouble
    } catch let error as DatabaseError {
      switch error.code {
      case SQLITE_FULL: throw .unavailable("the disk of \(path) is full")
      case SQLITE_READONLY, SQLITE_PERM: throw .unavailable("\(path) may only be read")
      case SQLITE_BUSY, SQLITE_LOCKED:
        throw .unavailable("another program has held \(path) for \(busyNs / 1_000_000_000) s")
      case SQLITE_CORRUPT, SQLITE_NOTADB: throw .unavailable("\(path) is damaged (\(error))")
      case SQLITE_CANTOPEN:
        throw .unavailable("\(path) cannot be opened: its folder must be writable too")
      default: throw .unavailable("\(path): \(error.message ?? "SQLite error \(error.code)")")
      }
    } catch {
      throw .unavailable("\(path): \(error)")
    }
  }

  // MARK: Who leads a run

  /// Takes the run for this process until it ends or lets the file go. False when another has it.
  func take(run number: Int64) -> Bool {
    var lock = Self.lock(number)
    return unsafe fcntl(descriptor, Self.setLock, &lock) == 0
      || errno != EAGAIN && errno != EACCES
  }

  func letGo(run number: Int64) {
    var lock = Self.lock(number)
    lock.l_type = Int16(F_UNLCK)
    _ = unsafe fcntl(descriptor, Self.setLock, &lock)
  }

  /// A process that lives leads it.
  func isLed(run number: Int64) -> Bool {
    var lock = Self.lock(number)
    return unsafe fcntl(descriptor, Self.getLock, &lock) == 0 && lock.l_type != Int16(F_UNLCK)
  }

  /// Of an open file description, F_OFD_GETLK and F_OFD_SETLK in fcntl(2): unlike POSIX locks they
  /// mind two openings by one process.
  private static let getLock: Int32 = 36
  private static let setLock: Int32 = 37

  /// One byte for each run, far beyond what SQLite locks (its lock page is at 1 GiB).
  private static func lock(_ number: Int64) -> flock {
    flock(
      l_type: Int16(F_WRLCK), l_whence: Int16(SEEK_SET), l_start: 1 << 62 + Int(number), l_len: 1,
      l_pid: 0)
  }
}

extension UInt64 {
  /// As SQLite stores it.
  var signed: Int64 { Int64(bitPattern: self) }
}
