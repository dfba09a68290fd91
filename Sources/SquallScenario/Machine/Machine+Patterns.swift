/// How far a pattern has been looked for in an answer's body. Behind it lies the window: the bytes that a
/// match may have begun in.
struct PatternSearch: BitwiseCopyable {
  enum Phase: UInt8, BitwiseCopyable { case searching, extending, done }

  var states: UInt64 = 0
  /// Bytes of the body so far.
  var position: UInt64 = 0
  /// Where the match begins and ends, among these.
  var start: UInt64 = 0
  var end: UInt64 = 0
  var phase = Phase.searching
}

/// The group of the first match, in one pass over the bytes as they come: the end that comes first, then the
/// earliest beginning that leads there. A match, what stands around the group with it, has to fit the
/// window.
extension Machine {
  /// Of each request.
  static let patternCountMax = 4
  /// Beside the group.
  static let patternMarginByteCount = 256

  static func patternWindowByteCount(_ program: Program) -> Int {
    let values = program.captures.filter { $0.kind == .regex }
      .map { Int(program.slots[Int($0.slot)].byteCountMax) }
    return values.max().map { $0 + patternMarginByteCount } ?? 0
  }

  static func patternCount(_ program: Program) -> Int {
    program.requests.map { request in
      program.captures[request.captures.indices].count { $0.kind == .regex }
    }.max() ?? 0
  }

  private func search(_ row: Int, _ place: Int) -> UnsafeMutablePointer<PatternSearch> {
    unsafe searches + (row &* patternCount &+ place)
  }

  private func window(_ row: Int, _ place: Int) -> UnsafeMutablePointer<UInt8> {
    unsafe windows + (row &* patternCount &+ place) &* windowByteCount
  }

  func beginPatterns(_ row: Int) {
    for place in 0..<patternCount { unsafe search(row, place).pointee = PatternSearch() }
  }

  /// `place`: among the patterns of the request.
  func readPattern(
    _ row: Int, _ capture: Program.Capture, place: Int, _ bytes: UnsafeRawBufferPointer
  ) {
    let table = patternTables[Int(capture.argument)]
    let isLazy = program.patterns[Int(capture.argument)].isLazy
    let window = unsafe window(row, place)
    var search = unsafe search(row, place).pointee
    defer { unsafe self.search(row, place).pointee = search }
    for index in 0..<bytes.count {
      guard search.phase != .done else { return }
      let byte = unsafe bytes[index]
      unsafe window[Int(search.position % UInt64(windowByteCount))] = byte
      search.position &+= 1
      if search.phase == .searching {
        search.states = table.step(search.states | table.start, byte)
        guard table.accepts(search.states) else { continue }
        unsafe begin(&search, window, table)
        guard search.phase != .done else { return }
      } else {
        search.states = table.step(search.states, byte)
        if table.accepts(search.states) { search.end = search.position }
      }
      let isFull = search.position - search.start >= UInt64(windowByteCount)
      if search.states == 0 || isFull || isLazy { search.phase = .done }
    }
  }

  /// A match ends here: goes back to where it begins, and forth again with nothing but it.
  private func begin(
    _ search: inout PatternSearch, _ window: UnsafeMutablePointer<UInt8>, _ table: PatternTable
  ) {
    search.end = search.position
    search.start = .max
    let oldest = search.position - min(search.position, UInt64(windowByteCount))
    var position = search.position
    var states = table.end
    while position > oldest && states != 0 {
      position -= 1
      states = unsafe table.stepBack(states, window[Int(position % UInt64(windowByteCount))])
      if states & 1 != 0 { search.start = position }
    }
    // It begins before the window.
    guard search.start != .max else {
      search.phase = .done
      return
    }
    search.states = table.opened(0)
    for position in search.start..<search.end {
      search.states = unsafe table.step(
        search.states, window[Int(position % UInt64(windowByteCount))])
    }
    search.phase = .extending
  }

  /// The answer is complete: what the pattern's group holds goes into the slot. False when it is longer than
  /// the slot.
  func takePattern(_ row: Int, _ capture: Program.Capture, place: Int) -> Bool {
    let search = unsafe search(row, place).pointee
    guard search.phase != .searching else { return true }
    guard search.start != .max else { return false }
    let pattern = program.patterns[Int(capture.argument)]
    let table = patternTables[Int(capture.argument)]
    let window = unsafe window(row, place)
    func byte(_ offset: Int) -> UInt8 {
      unsafe window[Int((search.start + UInt64(offset)) % UInt64(windowByteCount))]
    }
    let count = Int(search.end - search.start)
    // What can still lead to the end, before each byte.
    unsafe reachable[count] = table.end
    for offset in (0..<count).reversed() {
      unsafe reachable[offset] = table.stepBack(reachable[offset + 1], byte(offset))
    }
    func last(_ state: UInt8, from states: UInt64, at start: Int, isFirst: Bool) -> Int {
      var states = states
      var found = start
      let bit: UInt64 = 1 << UInt64(state)
      for offset in start...count {
        if unsafe states & reachable[offset] & bit != 0 {
          found = offset
          if isFirst { break }
        }
        // Only what comes before the state goes on: it is to be reached, not passed.
        if offset < count { states = table.step(states & (bit - 1), byte(offset)) }
      }
      return found
    }
    let first = last(pattern.groupFirst, from: table.start, at: 0, isFirst: pattern.isLazy)
    let end = last(
      pattern.groupEnd, from: table.opened(pattern.groupFirst), at: first, isFirst: pattern.isLazy)
    let slot = Int(capture.slot)
    guard end - first <= Int(program.slots[slot].byteCountMax) else { return false }
    let text = unsafe slotBase(row, slot) + Self.slotHeaderByteCount
    for offset in first..<end { unsafe text[offset - first] = byte(offset) }
    setSlotHeader(row, slot, UInt16(end - first + 1))
    return true
  }
}
