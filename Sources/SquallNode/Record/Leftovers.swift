internal import Glibc
package import SquallCluster
internal import SquallEngine
internal import SquallLoad

/// What an agent could not deliver, as a file: a header, then record entries until the end.
///
/// ```
/// "squall leftovers 1\n" · run u64 · planHash bytes(32)
/// entry: byteCount u32 · checksum u32 · record entry
/// ```
/// Little-endian; `checksum` is the CRC-32C of the entry. Batches and ledgers carry their names, so
/// that adding the file to its run's record twice, or what had arrived after all, changes nothing.
package struct Leftovers: Equatable, Sendable {
  static let magic = Array("squall leftovers 1\n".utf8)
  private static let hashByteCount = 32

  package var run: UInt64
  package var planHash: [UInt8]
  package var entries: [RecordEntry]

  package init(run: UInt64, planHash: [UInt8], entries: [RecordEntry]) {
    self.run = run
    self.planHash = planHash
    self.entries = entries
  }

  package var bytes: [UInt8] {
    var writer = ByteWriter()
    writer.raw(Self.magic)
    writer.append(run)
    writer.raw(planHash)
    for entry in entries {
      let bytes = entry.bytes
      writer.append(UInt32(bytes.count))
      writer.append(Checksum.crc32c(bytes, 0..<bytes.count))
      writer.raw(bytes)
    }
    return writer.bytes
  }

  package static func begins(_ bytes: [UInt8]) -> Bool { bytes.starts(with: magic) }

  package init(bytes: [UInt8]) throws(Malformed) {
    guard Self.begins(bytes) else { throw .magic }
    var reader = ByteReader(Array(bytes.dropFirst(Self.magic.count)))
    run = try reader.u64()
    planHash = try reader.raw(Self.hashByteCount)
    entries = []
    while reader.remaining > 0 {
      let byteCount = Int(try reader.u32())
      let checksum = try reader.u32()
      let entry = try reader.raw(byteCount)
      guard Checksum.crc32c(entry, 0..<entry.count) == checksum else { throw .checksum }
      entries.append(try RecordEntry(bytes: entry))
    }
  }

  /// Writes a file of its own into the folder, whole or not at all. Returns its path.
  func write(folder: String, agent: UInt64) throws(Complaint) -> String {
    try DataFolder.create(folder)
    let path = "\(folder)/undelivered-\(run.hexadecimal)-\(agent.hexadecimal).squall"
    do {
      try WholeFile.write(bytes, to: path, mode: 0o600)
    } catch {
      throw .world("\(path) cannot be written: \(error).")
    }
    return path
  }
}

extension RecordFile {
  /// Takes in what a worker could not deliver. Returns how many entries were new: one that is there
  /// already changes nothing.
  package func add(_ leftovers: Leftovers) throws(Trouble) -> Int {
    let id = leftovers.run.hexadecimal
    return try Self.attempt(path) {
      try database.write { db in
        let row = try row(of: leftovers.run, db)
        let plan = try plan(of: row)
        // A plan whose key was left out of the record has another hash than the one that was sent.
        guard plan.lacksKey || Digests.standard.hash(plan.bytes) == leftovers.planHash else {
          throw Trouble.refused("run \(id) of \(path) has another plan than these counts")
        }
        guard !isLed(run: try row["number"]) else {
          throw Trouble.refused("run \(id) goes on: let its master end first")
        }
        let isWhole: Bool? = try row["is_whole"]
        if isWhole == false {
          throw Trouble.refused("run \(id) is not whole in \(path): its result cannot be made anew")
        }
        let newCount = try leftovers.entries.count { entry in
          if case .batch(let batch, _) = entry {
            guard batch.isPlausible(endpointCount: plan.content.endpoints.count) else {
              throw Trouble.refused("these counts of run \(id) cannot be true")
            }
          }
          return try insert(entry, run: row["number"], db)
        }
        if try row["ended_at_ns"] as Int64? != nil {
          try summarise(read(row, db).result, of: plan, run: row["number"], db)
        }
        return newCount
      }
    }
  }
}

extension Leftovers {
  /// Reads the file.
  package static func read(_ path: String) throws(Complaint) -> Leftovers {
    guard let bytes = readBytes(path) else {
      throw .usage("cannot read \(path): \(SystemError.explain(errno)).")
    }
    do throws(Malformed) {
      return try Leftovers(bytes: bytes)
    } catch {
      throw .usage("\(path) holds no undelivered counts, or is damaged (\(error)).")
    }
  }
}
