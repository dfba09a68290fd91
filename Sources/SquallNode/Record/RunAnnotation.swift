package import SquallLoad

/// What somebody said of a run after it began. It changes nothing of the run itself.
package struct RunAnnotation: Equatable, Sendable {
  /// Beside those of its plan, or in their place.
  package var labels: [String: String]?
  package var note: String?

  package init() {}
}

extension RunAnnotation: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init(optional: "labels", \.labels, "Beside those of the plan, or in their place."),
      .init(optional: "note", \.note),
    ]
  }
}

extension RecordFile {
  /// Puts labels or a note in the place of those that were; what is absent stays.
  package func annotate(run: UInt64, with annotation: RunAnnotation) throws(Trouble) {
    try Self.attempt(path) {
      try database.write { db in
        let number: Int64 = try row(of: run, db)["number"]
        var merged = try self.annotation(ofRun: number, db) ?? RunAnnotation()
        merged.labels = annotation.labels ?? merged.labels
        merged.note = annotation.note ?? merged.note
        try db.execute(
          sql: "INSERT OR REPLACE INTO annotation (run, text) VALUES (?, ?)",
          arguments: [number, merged.json.text])
      }
    }
  }

  /// Nil where nobody said anything.
  private func annotation(ofRun number: Int64, _ db: Database) throws -> RunAnnotation? {
    let sql = "SELECT text FROM annotation WHERE run = ?"
    guard let row = try db.row(sql: sql, arguments: [number]) else { return nil }
    let text: String = try row["text"]
    return try? RunAnnotation(json: JSONValue(text: Array(text.utf8)))
  }

  /// Takes a run out of the record. False of one that goes on: it stays.
  package func delete(run: UInt64) throws(Trouble) -> Bool {
    try Self.attempt(path) {
      try database.write { db in
        let number: Int64 = try row(of: run, db)["number"]
        guard !isLed(run: number) else { return false }
        for table in ["agent", "decision", "batch", "incarnation", "summary", "annotation"] {
          try db.execute(sql: "DELETE FROM \(table) WHERE run = ?", arguments: [number])
        }
        try db.execute(sql: "DELETE FROM run WHERE number = ?", arguments: [number])
        return true
      }
    }
  }
}
