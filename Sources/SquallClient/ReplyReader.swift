internal import SquallEngine
internal import SquallHTTP
package import SquallScenario

/// A scenario's machine and what it reads of answers. Bodies that somebody waits for come to it as they
/// were before they were compressed.
package struct ReplyReader: ReplySink, ~Copyable {
  private static let none: Int32 = -1

  package var machine: Machine
  private var inflaters = Inflaters()
  /// Of each row whose answer's compressed body has begun.
  private let inflaterOf: Rows<Int32>
  private var row = 0

  /// - Parameter rowCount: answers being read at a time at most.
  package init(_ machine: consuming Machine, rowCount: Int) {
    self.machine = machine
    inflaterOf = Rows(count: rowCount) { Self.none }
  }

  /// The answer to this row's request is what comes next.
  package mutating func begin(_ row: Int, nowNs: UInt64) {
    release(row)
    self.row = row
    machine.beginReply(row, nowNs: nowNs)
  }

  /// Bytes that come next belong to the answer of this row.
  @inline(__always)
  package mutating func resume(_ row: Int, nowNs: UInt64) {
    self.row = row
    machine.resumeReply(row, nowNs: nowNs)
  }

  /// The answer is complete.
  package mutating func end(_ row: Int, status: UInt16, serviceNs: UInt64) -> Judgement {
    let index = inflaterOf[row]
    if index != Self.none {
      // Its last piece was the last thing that was read.
      if machine.bodyFault == .none && !inflaters.hasEnded(Int(index)) {
        machine.bodyFailed(.cutShort)
      }
      release(row)
    }
    return machine.endReply(row, status: status, serviceNs: serviceNs)
  }

  /// No answer comes, or none that can be read.
  package mutating func failed(_ row: Int) {
    release(row)
    machine.failed(row)
  }

  private mutating func release(_ row: Int) {
    let index = inflaterOf[row]
    guard index != Self.none else { return }
    inflaterOf[row] = Self.none
    inflaters.giveBack(Int(index))
  }

  // MARK: What comes

  @inline(__always)
  @safe package mutating func fields(_ bytes: UnsafeRawBufferPointer) {
    machine.fields(bytes)
  }

  @inline(__always)
  @safe package mutating func body(_ bytes: UnsafeRawBufferPointer) {
    guard machine.bodyCoding != .identity else { return machine.body(bytes) }
    unsafe inflate(bytes)
  }

  private mutating func inflate(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count > 0, machine.bodyFault == .none else { return }
    guard machine.bodyCoding != .other else { return machine.bodyFailed(.otherCoding) }
    if inflaterOf[row] == Self.none {
      let isGzip = machine.bodyCoding == .gzip
      guard let index = unsafe inflaters.take(isGzip: isGzip, first: bytes[0]) else {
        return machine.bodyFailed(.noInflater)
      }
      inflaterOf[row] = Int32(truncatingIfNeeded: index)
    }
    let index = Int(inflaterOf[row])
    var rest = unsafe bytes
    while true {
      switch unsafe inflaters.next(index, &rest) {
      case .bytes(let piece): machine.body(piece)
      case .needsMore: return
      case .damaged: return machine.bodyFailed(.damaged)
      case .tooLarge: return machine.bodyFailed(.tooLarge)
      case .noMemory: return machine.bodyFailed(.noInflater)
      }
    }
  }
}
