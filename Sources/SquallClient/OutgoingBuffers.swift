internal import SquallEngine

/// Buffers for bytes that differ each time. One belongs to its row from the writing until it is sent,
/// or, when its send is silent and does not say when it is done, until the answer. There are as many
/// as can be owned at a time, and the ones used last are taken first, so that only as many as are in flight
/// cost memory.
@safe struct OutgoingBuffers: ~Copyable {
  private static let none: Int32 = -1

  let byteCount: Int
  private let base: UnsafeMutableRawPointer
  private let free: Rows<Int32>
  private let owned: Rows<Int32>
  private var freeCount: Int

  /// - Parameter rowCount: who may own one; as many as there are unless it is said.
  init(byteCount: Int, count: Int, rowCount: Int? = nil) {
    self.byteCount = byteCount
    unsafe base = .allocate(byteCount: max(1, byteCount * count), alignment: 64)
    var next = Int32(count)
    free = Rows(count: count) {
      next -= 1
      return next
    }
    owned = Rows(count: rowCount ?? count) { Self.none }
    freeCount = count
  }

  deinit { unsafe base.deallocate() }

  mutating func take(_ row: Int) -> UnsafeMutableRawBufferPointer {
    precondition(freeCount > 0 && owned[row] == Self.none, "a row took a second buffer")
    freeCount -= 1
    let index = free[freeCount]
    owned[row] = index
    return unsafe buffer(of: row)
  }

  /// The buffer that the row has.
  func buffer(of row: Int) -> UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(
      start: base + Int(owned[row]) * byteCount, count: byteCount)
  }

  mutating func giveBack(_ row: Int) {
    guard byteCount > 0 else { return }
    let index = owned[row]
    guard index != Self.none else { return }
    owned[row] = Self.none
    free[freeCount] = index
    freeCount += 1
  }
}
