internal import SquallHTTP
internal import SquallLoad

/// Answers: their fields and bodies as they come, and what they came to.
extension Machine: ReplySink, JSONScan.Sink {
  /// The answer to this row's request is what comes next. What it captures replaces what was captured
  /// before.
  package mutating func beginReply(_ row: Int, nowNs: UInt64) {
    resumeReply(row, nowNs: nowNs)
    unsafe replies[row] = Reply()
    let request = unsafe Int(users[row].request)
    if facts[request].paths.count > 0 { unsafe replyJSON[row] = ReplyJSON() }
    for index in 0..<progressCount { unsafe progress[row * progressCount + index] = 0 }
    beginPatterns(row)
    for index in program.requests[request].captures.indices {
      let slot = Int(program.captures[index].slot)
      if valueStrides[slot] == 0 {
        clear(row, slot)
      } else {
        if program.captures[index].take == .all { reset(row, slot) }
        selectFree(row, slot)
      }
    }
  }

  /// What was taken for a list that grows is kept. A text whose end never came is not one.
  private func keepCaptured(_ row: Int, _ request: Program.Request) {
    for index in request.captures.indices {
      let capture = program.captures[index]
      let place = UInt32(index - request.captures.indices.lowerBound)
      if capture.kind == .between, unsafe replies[row].taken >> place & 1 == 0 {
        clear(row, Int(capture.slot))
      } else if valueStrides[Int(capture.slot)] > 0, capture.take != .all {
        keepFree(row, Int(capture.slot))
      }
    }
  }

  /// Bytes that come next belong to the answer of this row.
  package mutating func resumeReply(_ row: Int, nowNs: UInt64) {
    replyRow = row
    replyNowNs = nowNs
  }

  @inline(__always)
  func request(_ row: Int) -> Program.Request {
    unsafe program.requests[Int(users[row].request)]
  }

  /// Whether this row's answer has to be read at all.
  @inline(__always)
  package func readsReply(_ row: Int) -> Bool {
    unsafe facts[Int(users[row].request)].readsReply
  }

  /// The bytes begin with a head in which there is nothing for this row's request, of whose answer no body is
  /// read either.
  @safe @inline(__always)
  package func knowsHead(_ row: Int, _ bytes: UnsafeRawBufferPointer) -> Bool {
    let request = unsafe Int(users[row].request)
    return unsafe !program.requests[request].readsBody
      && dullFields.recallHead(bytes, of: request)
  }

  /// The answer is complete: what it came to, and with that where the user goes on.
  package mutating func endReply(
    _ row: Int, status: UInt16, serviceNs: UInt64
  ) -> Judgement {
    let request = request(row)
    replyRow = row
    if request.readsBody {
      if unsafe facts[Int(users[row].request)].paths.count > 0 {
        var scan = unsafe replyJSON[row].scan
        scan.finish(into: &self)
        unsafe replyJSON[row].scan = scan
      }
      takePatterns(row, request)
    }
    takeCookies(row, request)
    if request.follows != .none, let judgement = followed(row, request, status: status) {
      if judgement != .good { failed(row) }
      return judgement
    }
    if request.captures.count > 0 { keepCaptured(row, request) }
    let judgement = judge(row, request, status: status, serviceNs: serviceNs)
    if judgement != .good { failed(row) }
    return judgement
  }

  /// What a redirect that is followed came to; nil of any other answer. What is captured and checked is
  /// the answer that it leads to.
  private func followed(
    _ row: Int, _ request: Program.Request, status: UInt16
  ) -> Judgement? {
    let isFollowed =
      (301...303).contains(status) || request.follows == .all && (307...308).contains(status)
    let slot = Int(request.locationSlot)
    guard isFollowed, !isEmpty(row, slot) else { return nil }
    guard let origin = makePath(row, slot, from: origin(row)) else { return .strayed }
    unsafe users[row].origin = origin
    unsafe users[row].isRedirected = true
    return .good
  }

  /// Makes a path of an address on one of the origins, in its place. The origin it is on; nil when it is
  /// not such an address.
  private func makePath(_ row: Int, _ slot: Int, from origin: UInt8) -> UInt8? {
    let text = unsafe slotBase(row, slot) + Self.slotHeaderByteCount
    var count = Int(slotHeader(row, slot) & ~Self.bareBit) - 1
    var start = 0
    var origin = origin
    if unsafe text[0] != UInt8(ascii: "/") {
      guard
        let index = originAddresses.indices.first(where: { index in
          unsafe begins(text, count, with: originAddresses[index])
        })
      else { return nil }
      origin = UInt8(truncatingIfNeeded: index)
      start = originAddresses[index].count
      if unsafe start == count || text[start] != UInt8(ascii: "/") {
        // An address without a path means the root.
        start -= 1
        unsafe text[start] = UInt8(ascii: "/")
      }
    } else if unsafe count > 1 && text[1] == UInt8(ascii: "/") {
      return nil
    }
    for index in start..<count where unsafe text[index] == UInt8(ascii: "#") {
      count = index
      break
    }
    count -= start
    if start > 0 {
      unsafe UnsafeMutableRawPointer(text).copyMemory(from: text + start, byteCount: count)
    }
    setSlotHeader(row, slot, UInt16(count + 1))
    return origin
  }

  /// The address is on that origin: what follows begins a path, or a query or fragment without one.
  private func begins(
    _ text: UnsafeMutablePointer<UInt8>, _ count: Int, with address: [UInt8]
  ) -> Bool {
    guard count >= address.count else { return false }
    for index in address.indices {
      guard unsafe text[index].lowercasedASCII == address[index] else { return false }
    }
    guard count > address.count else { return true }
    let next = unsafe text[address.count]
    return next == UInt8(ascii: "/") || next == UInt8(ascii: "?") || next == UInt8(ascii: "#")
  }

  private func takePatterns(_ row: Int, _ request: Program.Request) {
    var place = 0
    for index in request.captures.indices where program.captures[index].kind == .regex {
      if !takePattern(row, program.captures[index], place: place) {
        unsafe replies[row].overflowedCapture = UInt8(index - request.captures.indices.lowerBound)
      }
      place += 1
    }
  }

  private func judge(
    _ row: Int, _ request: Program.Request, status: UInt16, serviceNs: UInt64
  ) -> Judgement {
    let reply = unsafe replies[row]
    let awaitedFrom = request.checks.indices.upperBound - Int(request.awaitedCount)
    unsafe users[row].isMet = true
    for index in request.checks.indices {
      let check = program.checks[index]
      let holds =
        switch check.kind {
        case .status:
          (100...599).contains(status)
            && program.statusSets[Int(check.argument) * 8 + Int(status - 100) / 64]
              >> UInt64((status - 100) % 64) & 1 == 1
        case .time: serviceNs <= check.limitNs
        case .has: !isEmpty(row, Int(check.argument))
        case .contains, .json, .header:
          reply.held >> UInt32(index - request.checks.indices.lowerBound) & 1 == 1
        }
      guard !holds else { continue }
      unsafe users[row].isMet = false
      if reply.bodyFault != .none, check.readsBody { break }
      // What is awaited may come with the next try, while there is one.
      let mayComeYet =
        unsafe index >= awaitedFrom && users[row].loops[Int(request.tryCounter)] > 1
      guard mayComeYet else { return .failed(check: index) }
      break
    }
    if reply.bodyFault != .none {
      unsafe users[row].isMet = false
      return .unreadable(reply.bodyFault)
    }
    if reply.overflowedCapture != .max {
      return .overflowed(
        capture: request.captures.indices.lowerBound + Int(reply.overflowedCapture))
    }
    return reply.isJarFull ? .jarFull : .good
  }

  // MARK: Fields

  @safe package mutating func fields(_ bytes: UnsafeRawBufferPointer) {
    let row = replyRow
    let request = unsafe Int(users[row].request)
    let slice = facts[request].watches
    guard slice.count > 0 else { return }
    let isWhole = unsafe replies[row].field == .lineStart
    // Nothing was for anybody in it the last time either.
    if unsafe isWhole && dullFields.recall(bytes, of: request) { return }
    var reply = unsafe replies[row]
    let isDull = read(bytes, slice, row, &reply)
    unsafe replies[row] = reply
    if isWhole && isDull && reply.field == .lineStart {
      unsafe dullFields.keep(bytes, of: request)
    }
  }

  /// Reads field lines on. True when none of them was watched.
  @safe private mutating func read(
    _ bytes: UnsafeRawBufferPointer, _ slice: Program.Slice, _ row: Int, _ reply: inout Reply
  ) -> Bool {
    var isDull = true
    var index = 0
    while index < bytes.count {
      let byte = unsafe bytes[index]
      switch reply.field {
      case .lineStart, .name:
        if reply.field == .lineStart && !mayBeWatched(bytes, index, slice) {
          reply.named = 0
          reply.field = .value
          continue
        }
        index += 1
        if reply.field == .lineStart {
          if byte == 0x0d || byte == 0x0a { continue }
          reply.field = .name
          reply.named = (1 << slice.count) - 1
          reply.nameByteCount = 0
        }
        if byte == UInt8(ascii: ":") {
          for watch in Bits(reply.named)
          where nameByteCount(of: watches[Int(slice.first) + watch]) != Int(reply.nameByteCount) {
            reply.named &= ~(1 << UInt64(watch))
          }
          reply.field = .space
          if reply.named != 0 { isDull = false }
          for watch in Bits(reply.named) {
            beginField(watches[Int(slice.first) + watch], row, &reply)
          }
        } else {
          for watch in Bits(reply.named)
          where !names(
            watches[Int(slice.first) + watch], byte.lowercasedASCII, at: Int(reply.nameByteCount))
          {
            reply.named &= ~(1 << UInt64(watch))
          }
          reply.nameByteCount &+= 1
        }
      case .space, .value:
        if reply.field == .space, byte == 0x20 || byte == 0x09 {
          index += 1
          continue
        }
        reply.field = .value
        let start = index
        index = unsafe bytes.firstCarriageReturn(from: index)
        if start < index && reply.named != 0 {
          let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<index])
          for watch in Bits(reply.named) {
            unsafe takeField(watches[Int(slice.first) + watch], piece, row, &reply)
          }
        }
        if index < bytes.count {
          index += 1
          reply.field = .lineEnd
        }
      case .lineEnd:
        index += 1
        reply.field = .lineStart
        for watch in Bits(reply.named) { endField(watches[Int(slice.first) + watch], row, &reply) }
        reply.named = 0
      }
    }
    return isDull
  }

  /// Whether the line at `index` may be of a field that is watched: false when it is of another one, and
  /// for the empty line too soon to say.
  @safe @inline(__always)
  private func mayBeWatched(
    _ bytes: UnsafeRawBufferPointer, _ index: Int, _ slice: Program.Slice
  ) -> Bool {
    guard unsafe bytes[index] > 0x20 else { return true }
    for place in slice.indices {
      let colon = index &+ Int(watches[place].nameByteCount)
      if unsafe colon >= bytes.count || bytes[colon] == UInt8(ascii: ":") { return true }
    }
    return false
  }

  private func nameByteCount(of watch: Watch) -> Int { Int(watch.nameByteCount) }

  private func names(_ watch: Watch, _ byte: UInt8, at index: Int) -> Bool {
    guard index < nameByteCount(of: watch) else { return false }
    switch watch.kind {
    case .check, .capture: return self.byte(watch.name, index) == byte
    case .cookies: return unsafe Watch.cookieField.utf8Start[index] == byte
    case .coding: return unsafe Watch.codingField.utf8Start[index] == byte
    }
  }

  private func beginField(_ watch: Watch, _ row: Int, _ reply: inout Reply) {
    switch watch.kind {
    case .check: setSeen(row, Int(watch.index), 0)
    case .cookies:
      reply.lineByteCount = 0
      keepDirectoryOfLine(row)
    case .coding: reply.codingByteCount = 0
    case .capture:
      // The first of several fields of one name is the one that is taken.
      guard reply.taken >> UInt32(watch.index) & 1 == 0 else { return }
      setSlotHeader(row, slot(of: watch, row), 1)
    }
  }

  private mutating func takeField(
    _ watch: Watch, _ piece: UnsafeRawBufferPointer, _ row: Int, _ reply: inout Reply
  ) {
    switch watch.kind {
    case .check: unsafe contains(row, Int(watch.index), piece, &reply)
    case .cookies: unsafe keepLine(row, piece, &reply)
    case .coding: unsafe keepCoding(piece, &reply)
    case .capture:
      guard reply.taken >> UInt32(watch.index) & 1 == 0 else { return }
      unsafe append(piece, to: slot(of: watch, row), row, capture: Int(watch.index), &reply)
    }
  }

  private mutating func endField(_ watch: Watch, _ row: Int, _ reply: inout Reply) {
    switch watch.kind {
    case .check: break
    case .cookies: endLine(row, &reply)
    case .coding: endCoding(&reply)
    case .capture:
      reply.taken |= 1 << UInt32(watch.index)
      let slot = slot(of: watch, row)
      var count = Int(slotHeader(row, slot)) - 1
      let text = unsafe slotBase(row, slot) + Self.slotHeaderByteCount
      while unsafe count > 0 && (text[count - 1] == 0x20 || text[count - 1] == 0x09) { count -= 1 }
      setSlotHeader(row, slot, count == 0 ? 0 : UInt16(count + 1))
    }
  }

  private func keepCoding(_ piece: UnsafeRawBufferPointer, _ reply: inout Reply) {
    for index in 0..<piece.count {
      let byte = unsafe piece[index]
      if byte == 0x20 || byte == 0x09 { continue }
      guard Int(reply.codingByteCount) < reply.codingWord.count else { break }
      reply.codingWord[Int(reply.codingByteCount)] = byte.lowercasedASCII
      reply.codingByteCount &+= 1
    }
  }

  /// Each field adds a coding; two are more than we undo.
  private func endCoding(_ reply: inout Reply) {
    let coding = BodyCoding(reply.codingWord.span.extracting(first: Int(reply.codingByteCount)))
    guard coding != .identity else { return }
    reply.coding = reply.coding == .identity ? coding : .other
  }

  /// Of the answer being read, when its body is read.
  @inline(__always)
  package var bodyCoding: BodyCoding { unsafe replies[replyRow].coding }

  package var bodyFault: BodyFault { unsafe replies[replyRow].bodyFault }

  /// The rest of this answer's body cannot be read.
  package mutating func bodyFailed(_ fault: BodyFault) {
    unsafe replies[replyRow].bodyFault = fault
  }

  private func slot(of watch: Watch, _ row: Int) -> Int {
    Int(program.captures[request(row).captures.indices.lowerBound + Int(watch.index)].slot)
  }

  // MARK: Body

  @safe package mutating func body(_ bytes: UnsafeRawBufferPointer) {
    let row = replyRow
    let request = request(row)
    guard request.readsBody else { return }
    if pathCount > 0 {
      var scan = unsafe replyJSON[row].scan
      scan.read(bytes, into: &self)
      unsafe replyJSON[row].scan = scan
    }
    var reply = unsafe replies[row]
    for index in 0..<Int(request.checks.count)
    where program.checks[Int(request.checks.first) + index].kind == .contains {
      unsafe contains(row, index, bytes, &reply)
    }
    for index in 0..<Int(request.captures.count)
    where program.captures[Int(request.captures.first) + index].kind == .between {
      unsafe between(row, index, bytes, &reply)
    }
    if patternCount > 0 {
      var place = 0
      for index in request.captures.indices where program.captures[index].kind == .regex {
        unsafe readPattern(row, program.captures[index], place: place, bytes)
        place += 1
      }
    }
    unsafe replies[row] = reply
  }

  private func seen(_ row: Int, _ place: Int) -> UInt32 {
    unsafe progress[row &* progressCount &+ place]
  }

  private func setSeen(_ row: Int, _ place: Int, _ value: UInt32) {
    unsafe progress[row &* progressCount &+ place] = value
  }

  private func contains(
    _ row: Int, _ index: Int, _ bytes: UnsafeRawBufferPointer, _ reply: inout Reply
  ) {
    guard reply.held >> UInt32(index) & 1 == 0 else { return }
    let place = Int(request(row).checks.first) + index
    let text = program.checks[place].text
    guard text.byteCount > 0 else {
      reply.held |= 1 << UInt32(index)
      return
    }
    var count = seen(row, index)
    let end = unsafe program.pool.withUnsafeBufferPointer { pool in
      unsafe needles.find(
        UnsafeBufferPointer(
          rebasing: pool[Int(text.offset)..<Int(text.offset + text.byteCount)]),
        table: needles.ofChecks[place], in: bytes, from: 0, seen: &count)
    }
    setSeen(row, index, count)
    if end != nil { reply.held |= 1 << UInt32(index) }
  }

  private static let isInside: UInt32 = 1 << 31

  private mutating func between(
    _ row: Int, _ index: Int, _ bytes: UnsafeRawBufferPointer, _ reply: inout Reply
  ) {
    guard reply.taken >> UInt32(index) & 1 == 0 else { return }
    let request = request(row)
    let place = Int(request.captures.first) + index
    let capture = program.captures[place]
    let seenAt = Int(request.checks.count) + index
    var word = seen(row, seenAt)
    var start = 0
    if word & Self.isInside == 0 {
      let end = unsafe find(capture.first, needles.ofCaptures[place].first, bytes, 0, &word)
      guard let end else { return setSeen(row, seenAt, word) }
      word = Self.isInside
      start = end
      setSlotHeader(row, Int(capture.slot), 1)
    }
    var count = word & ~Self.isInside
    let end = unsafe find(capture.second, needles.ofCaptures[place].second, bytes, start, &count)
    // What may be the beginning of the text behind is taken too, and given back when it was.
    unsafe append(
      UnsafeRawBufferPointer(rebasing: bytes[start..<(end ?? bytes.count)]), to: Int(capture.slot),
      row, capture: nil, &reply)
    setSeen(row, seenAt, Self.isInside | count)
    guard end != nil else { return }
    reply.taken |= 1 << UInt32(index)
    let slot = Int(capture.slot)
    let length = Int(slotHeader(row, slot)) - 1 - Int(capture.second.byteCount)
    if length > Int(program.slots[slot].byteCountMax) {
      clear(row, slot)
      reply.overflowedCapture = UInt8(index)
    } else {
      setSlotHeader(row, slot, UInt16(length + 1))
    }
  }

  private func find(
    _ span: Program.Span, _ table: Int, _ bytes: UnsafeRawBufferPointer, _ start: Int,
    _ seen: inout UInt32
  ) -> Int? {
    var count = seen
    defer { seen = count }
    return unsafe program.pool.withUnsafeBufferPointer { pool in
      unsafe needles.find(
        UnsafeBufferPointer(rebasing: pool[Int(span.offset)..<Int(span.offset + span.byteCount)]),
        table: table, in: bytes, from: start, seen: &count)
    }
  }

  /// Appends to a slot that is being filled. Its length goes on counting beyond what there is room for;
  /// with a `capture`, that is its failure at once.
  private func append(
    _ bytes: UnsafeRawBufferPointer, to slot: Int, _ row: Int, capture: Int?, _ reply: inout Reply
  ) {
    let header = slotHeader(row, slot)
    guard header != 0 else { return }
    let count = Int(header & ~Self.bareBit) - 1
    let room = max(0, Int(program.slots[slot].byteCountMax) - count)
    if let start = bytes.baseAddress {
      unsafe UnsafeMutableRawPointer(slotBase(row, slot) + Self.slotHeaderByteCount + count)
        .copyMemory(from: start, byteCount: min(room, bytes.count))
    }
    if bytes.count > room, let capture {
      reply.overflowedCapture = UInt8(capture)
      return clear(row, slot)
    }
    // Slots end far below the top bit, and so does what is counted here.
    let length = min(count + bytes.count, Int(Self.bareBit) - 2)
    setSlotHeader(row, slot, header & Self.bareBit | UInt16(length + 1))
  }

  // MARK: JSON

  package var pathCount: Int { unsafe Int(facts[Int(users[replyRow].request)].paths.count) }

  @inline(__always)
  private func owner(of path: Int) -> PathOwner {
    unsafe pathOwners[Int(facts[Int(users[replyRow].request)].paths.first) &+ path]
  }

  @inline(__always)
  func path(_ index: Int) -> Program.Path { owner(of: index).path }

  func segment(_ index: Int) -> Program.Path.Segment { program.segments[index] }

  func byte(_ span: Program.Span, _ index: Int) -> UInt8 { program.pool[Int(span.offset) + index] }

  mutating func begin(_ path: Int, isString: Bool) -> Bool {
    let row = replyRow
    let request = request(row)
    let owner = owner(of: path)
    if owner.isCheck {
      // How much of the expected text was met; the first value counts.
      let place = owner.index - request.checks.indices.lowerBound
      guard seen(row, place) == 0, unsafe replies[row].held >> UInt32(place) & 1 == 0 else {
        return false
      }
      return true
    }
    let place = owner.index - request.captures.indices.lowerBound
    let capture = program.captures[owner.index]
    switch capture.take {
    case .last: break
    case .all:
      guard !isFull(row, Int(capture.slot)) else { return false }
      selectFree(row, Int(capture.slot))
    case .random:
      // Each of n values stays with probability 1/n (reservoir sampling, Vitter 1985).
      let count = unsafe replyJSON[row].meetings[path] &+ 1
      unsafe replyJSON[row].meetings[path] = count
      guard unsafe users[row].random.next().multipliedFullWidth(by: UInt64(count)).high == 0 else {
        return false
      }
    case .first:
      guard unsafe replies[row].taken >> UInt32(place) & 1 == 0 else { return false }
    }
    unsafe replies[row].taken |= 1 << UInt32(place)
    setSlotHeader(row, Int(capture.slot), 1 | (isString ? 0 : Self.bareBit))
    return true
  }

  @safe mutating func take(_ path: Int, _ bytes: UnsafeRawBufferPointer) {
    let row = replyRow
    let request = request(row)
    let owner = owner(of: path)
    if owner.isCheck {
      let place = owner.index - request.checks.indices.lowerBound
      let text = program.checks[owner.index].text
      var count = seen(row, place)
      for index in 0..<bytes.count {
        // One more than the text's length can never be reached again.
        let fits = unsafe count < text.byteCount && byte(text, Int(count)) == bytes[index]
        count = fits ? count + 1 : .max
        if !fits { break }
      }
      return setSeen(row, place, count)
    }
    let capture = program.captures[owner.index]
    unsafe append(
      bytes, to: Int(capture.slot), row,
      capture: owner.index - request.captures.indices.lowerBound, &replies[row])
  }

  mutating func end(_ path: Int) {
    let row = replyRow
    let request = request(row)
    let owner = owner(of: path)
    if owner.isCheck {
      let place = owner.index - request.checks.indices.lowerBound
      if seen(row, place) == program.checks[owner.index].text.byteCount {
        unsafe replies[row].held |= 1 << UInt32(place)
      } else {
        setSeen(row, place, .max)
      }
      return
    }
    let slot = Int(program.captures[owner.index].slot)
    // null is no value.
    if slotHeader(row, slot) == Self.bareBit | 5 {
      let text = unsafe slotBase(row, slot) + Self.slotHeaderByteCount
      if unsafe text[0] == UInt8(ascii: "n") && text[1] == UInt8(ascii: "u") { clear(row, slot) }
    }
    if program.captures[owner.index].take == .all { keepFree(row, slot) }
  }
}

extension UInt8 {
  var lowercasedASCII: UInt8 {
    self >= UInt8(ascii: "A") && self <= UInt8(ascii: "Z") ? self | 0x20 : self
  }
}
