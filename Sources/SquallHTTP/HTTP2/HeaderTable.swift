/// The dynamic table of one direction of a connection (RFC 7541 2.3.2 and 4).
///
/// Entries lie behind one another, oldest first, each with its measures at both ends, so that the
/// oldest can be dropped from the front and the others found from the back:
///
/// ```
/// │ evicted │ measures, name, value, measures │ … │ measures, name, value, measures │ free │
///           start                                                                   end
/// ```
///
/// Measures take 16 bytes, the RFC's accounts 32, so the memory never exceeds the table's size by
/// more than the quarter that spares moving it at each entry. It grows as entries come.
@safe package struct HeaderTable: ~Copyable {
  /// SETTINGS_HEADER_TABLE_SIZE as it is without a word from us.
  package static let byteCountDefault: UInt32 = 4096

  /// The largest size the peer may choose.
  let byteCountLimit: UInt32
  /// The size in force.
  private(set) var byteCountMax: UInt32
  /// Of the entries, as the RFC counts.
  package private(set) var byteCount: UInt32 = 0
  package private(set) var count: UInt32 = 0
  /// Entries ever added; wraps.
  private(set) var addedCount: UInt32 = 0
  /// Rises with whatever may change an entry's place or drop one.
  private(set) var version: UInt64 = 0

  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  private var start = 0
  private var end = 0

  private struct Measures: BitwiseCopyable {
    let nameByteCount: UInt16
    let valueByteCount: UInt16
    let meaning: UInt16
    let unused: UInt16

    static let byteCount = 8

    var entryByteCount: Int {
      Int(nameByteCount) &+ Int(valueByteCount) &+ 2 &* Self.byteCount
    }
    var listByteCount: UInt32 { UInt32(nameByteCount) &+ UInt32(valueByteCount) &+ 32 }
  }

  package init(byteCountLimit: UInt32 = Self.byteCountDefault) {
    precondition(byteCountLimit <= UInt16.max, "measures have 16 bits")
    self.byteCountLimit = byteCountLimit
    byteCountMax = byteCountLimit
    unsafe base = nil
  }

  deinit { unsafe base?.deallocate() }

  /// The entry that came `age` entries before the newest; nil when there is none.
  @inline(__always)
  func field(age: UInt32) -> HeaderField? {
    guard age < count, let base = unsafe base else { return nil }
    var place = end
    var age = age
    var measures = unsafe Self.measures(in: base, before: place)
    while age > 0 {
      place &-= measures.entryByteCount
      unsafe measures = Self.measures(in: base, before: place)
      age &-= 1
    }
    return unsafe HeaderField(
      at: base + (place &- measures.entryByteCount &+ Measures.byteCount),
      nameByteCount: UInt32(measures.nameByteCount),
      valueByteCount: UInt32(measures.valueByteCount),
      meaning: FieldMeaning(rawValue: measures.meaning))
  }

  /// Adds a field whose bytes lie outside the table; false when it is larger than the table, which
  /// then is empty (RFC 7541 4.4).
  mutating func insert(_ field: HeaderField) -> Bool {
    let isRoom = makeRoom(for: field.listByteCount)
    guard isRoom else { return false }
    let measures = Measures(
      nameByteCount: UInt16(field.nameByteCount), valueByteCount: UInt16(field.valueByteCount),
      meaning: field.meaning.rawValue, unused: 0)
    let to = unsafe grow(by: measures.entryByteCount)
    unsafe to.storeBytes(of: measures, as: Measures.self)
    let name = field.nameCursor
    unsafe (to + Measures.byteCount).copyMemory(from: name.at, byteCount: name.byteCount)
    let value = field.valueCursor
    let valueTo = unsafe to + Measures.byteCount + name.byteCount
    unsafe valueTo.copyMemory(from: value.at, byteCount: value.byteCount)
    unsafe (valueTo + value.byteCount).storeBytes(of: measures, as: Measures.self)
    count &+= 1
    addedCount &+= 1
    byteCount &+= field.listByteCount
    return true
  }

  /// The newest entries as they lie here, to be added to another table by `insert(_:)`; nil when
  /// there are not as many.
  func newest(_ count: UInt32) -> Entries? {
    guard count <= self.count else { return nil }
    guard let base = unsafe base else {
      return Entries(bytes: .empty, count: 0, byteCount: 0)
    }
    var place = end
    var byteCount: UInt32 = 0
    for _ in 0..<count {
      let measures = unsafe Self.measures(in: base, before: place)
      place -= measures.entryByteCount
      byteCount += measures.listByteCount
    }
    return unsafe Entries(
      bytes: ByteCursor(at: base + place, end: base + end), count: count, byteCount: byteCount)
  }

  struct Entries {
    let bytes: ByteCursor
    let count: UInt32
    /// As the RFC counts.
    let byteCount: UInt32
  }

  /// Adds entries at once, as if one by one; false, and nothing done, when they do not all fit.
  @inline(__always)
  mutating func insert(_ entries: Entries) -> Bool {
    guard entries.byteCount <= byteCountMax else { return false }
    guard entries.count > 0 else { return true }
    _ = makeRoom(for: entries.byteCount)
    let to = unsafe grow(by: entries.bytes.byteCount)
    unsafe to.copyMemory(from: entries.bytes.at, byteCount: entries.bytes.byteCount)
    count &+= entries.count
    addedCount &+= entries.count
    byteCount &+= entries.byteCount
    return true
  }

  /// A dynamic table size update (RFC 7541 6.3).
  mutating func setByteCountMax(_ byteCountMax: UInt32) throws(H2Violation) {
    guard byteCountMax <= byteCountLimit else { throw .tableTooLarge }
    self.byteCountMax = byteCountMax
    _ = makeRoom(for: 0)
  }

  /// Drops the oldest entries until `added` bytes fit; false when they do not fit at all.
  @inline(__always)
  private mutating func makeRoom(for added: UInt32) -> Bool {
    version &+= 1
    while byteCount > 0, byteCount &+ added > byteCountMax {
      guard let base = unsafe base else { break }
      let measures = unsafe (base + start).loadUnaligned(as: Measures.self)
      start &+= measures.entryByteCount
      count &-= 1
      byteCount &-= measures.listByteCount
    }
    return added <= byteCountMax
  }

  /// Makes `added` bytes behind the newest entry part of the table.
  @inline(__always)
  private mutating func grow(by added: Int) -> UnsafeMutableRawPointer {
    if end &+ added > capacity { rearrange(for: added) }
    guard let base = unsafe base else { preconditionFailure("a table without memory has no room") }
    defer { end &+= added }
    return unsafe base + end
  }

  /// Moves the entries to the front, of larger memory when they fill more than three quarters.
  private mutating func rearrange(for added: Int) {
    let live = end - start
    let from = unsafe base.map { base in unsafe UnsafeRawPointer(base + start) }
    if live + added > capacity - capacity / 4 {
      let capacityMax = Int(byteCountLimit) + Int(byteCountLimit) / 4
      capacity = max(min(max(capacity * 2, 512), capacityMax), live + added)
      let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
      if let from = unsafe from { unsafe larger.copyMemory(from: from, byteCount: live) }
      unsafe base?.deallocate()
      unsafe base = larger
    } else if let base = unsafe base, let from = unsafe from {
      unsafe base.copyMemory(from: from, byteCount: live)
    }
    start = 0
    end = live
  }

  @inline(__always)
  private static func measures(
    in base: UnsafeMutableRawPointer, before place: Int
  ) -> Measures {
    unsafe (base + (place &- Measures.byteCount)).loadUnaligned(as: Measures.self)
  }
}
