internal import SquallLoad

/// A place in a buffer that is being filled; what does not fit is noted, not written.
@safe struct Writer {
  let base: UnsafeMutablePointer<UInt8>
  let limit: Int
  var count = 0
  var unsendable: Unsendable?

  init(base: UnsafeMutablePointer<UInt8>, limit: Int) {
    unsafe self.base = base
    self.limit = limit
  }

  @inline(__always)
  mutating func copy(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) {
    guard byteCount <= limit &- count else {
      unsendable = .tooLarge
      return
    }
    unsafe (base + count).update(from: bytes, count: byteCount)
    count &+= byteCount
  }

  @inline(__always)
  mutating func byte(_ byte: UInt8) {
    guard count < limit else {
      unsendable = .tooLarge
      return
    }
    unsafe base[count] = byte
    count &+= 1
  }

  mutating func copy(
    _ bytes: UnsafePointer<UInt8>, _ byteCount: Int, escaping escape: Program.Part.Escape
  ) {
    switch escape {
    case .none: unsafe copy(bytes, byteCount)
    default:
      for index in 0..<byteCount {
        let byte = unsafe bytes[index]
        if escape.refuses(byte) {
          unsendable = .refused(byte: byte)
          return
        }
        let (escaped, escapedCount) = escape.escaped(byte)
        guard escapedCount <= limit &- count else {
          unsendable = .tooLarge
          return
        }
        for position in 0..<escapedCount {
          unsafe base[count] = UInt8(truncatingIfNeeded: escaped >> UInt64(8 * position))
          count &+= 1
        }
      }
    }
  }

  /// Decimal digits, with leading zeros up to `width`.
  mutating func number(_ value: UInt64, width: Int = 1) {
    var digits = InlineArray<40, UInt8>(repeating: UInt8(ascii: "0"))
    var rest = value
    var digitCount = 0
    while rest > 0 {
      let (quotient, remainder) = rest.quotientAndRemainder(dividingBy: 10)
      digits[digitCount] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: remainder)
      digitCount &+= 1
      rest = quotient
    }
    for index in (0..<max(digitCount, min(width, 40))).reversed() { byte(digits[index]) }
  }

  mutating func signed(_ value: Int64, width: Int = 1) {
    if value < 0 { byte(UInt8(ascii: "-")) }
    number(value.magnitude, width: width)
  }
}

extension Machine {
  /// Writes the request that the user is about to send. The same user, iteration and place give the
  /// same bytes in every run.
  @safe package mutating func render(
    _ row: Int, into buffer: UnsafeMutableRawBufferPointer, nowNs: UInt64
  ) -> Rendering {
    let request = unsafe program.requests[Int(users[row].request)]
    guard let start = buffer.baseAddress else { return .unsendable(.tooLarge) }
    var writer = unsafe Writer(
      base: start.assumingMemoryBound(to: UInt8.self), limit: buffer.count)
    var lengthAt = -1
    for index in request.head.indices {
      let part = program.parts[index]
      switch part.kind {
      case .contentLength: lengthAt = writer.count
      case .cookies: writeCookies(row, requestIn: writer, to: &writer, nowNs: nowNs)
      default: write(part, of: row, to: &writer, nowNs: nowNs)
      }
    }
    let bodyStart = writer.count
    for index in request.body.indices {
      write(program.parts[index], of: row, to: &writer, nowNs: nowNs)
    }
    // The length is known now, and stands before what is behind it.
    if lengthAt >= 0, writer.unsendable == nil {
      let bodyByteCount = UInt64(writer.count - bodyStart)
      let digitCount = bodyByteCount.digitCount
      guard digitCount <= writer.limit - writer.count else { return .unsendable(.tooLarge) }
      let tail = unsafe writer.base + lengthAt
      unsafe UnsafeMutableRawPointer(tail + digitCount).copyMemory(
        from: tail, byteCount: writer.count - lengthAt)
      var digits = unsafe Writer(base: tail, limit: digitCount)
      digits.number(bodyByteCount)
      writer.count += digitCount
    }
    if unsafe program.keepsCookies && facts[Int(users[row].request)].line.byteCount == 0 {
      keepDirectory(row, requestIn: writer)
    }
    if let unsendable = writer.unsendable { return .unsendable(unsendable) }
    return .bytes(writer.count)
  }

  @inline(__always)
  private mutating func write(
    _ part: Program.Part, of row: Int, to writer: inout Writer, nowNs: UInt64
  ) {
    guard part.kind != .literal else {
      return unsafe program.pool.withUnsafeBufferPointer { pool in
        guard let base = pool.baseAddress else { return }
        unsafe writer.copy(base + Int(part.a), Int(part.b))
      }
    }
    guard part.format == .none || part.format == .padded else {
      return writeFormatted(part, of: row, to: &writer, nowNs: nowNs)
    }
    writeValue(part, of: row, to: &writer, nowNs: nowNs)
  }

  /// Values that a format changes are written aside first.
  private mutating func writeFormatted(
    _ part: Program.Part, of row: Int, to writer: inout Writer, nowNs: UInt64
  ) {
    let half = Self.scratchByteCount / 2
    var plain = part
    plain.escape = .none
    plain.format = .none
    var value = unsafe Writer(base: scratch, limit: half)
    writeValue(plain, of: row, to: &value, nowNs: nowNs)
    var formatted = unsafe Writer(base: scratch + half, limit: half)
    switch part.format {
    case .url: unsafe formatted.copy(value.base, value.count, escaping: .query)
    case .json: unsafe formatted.copy(value.base, value.count, escaping: .json)
    default:
      for index in Swift.stride(from: 0, to: value.count, by: 3) {
        let quad = unsafe Base64.quad(
          value.base[index], index + 1 < value.count ? value.base[index + 1] : nil,
          index + 2 < value.count ? value.base[index + 2] : nil)
        for shift in 0..<4 { formatted.byte(UInt8(truncatingIfNeeded: quad >> UInt32(8 * shift))) }
      }
    }
    if let unsendable = value.unsendable ?? formatted.unsendable {
      writer.unsendable = unsendable
      return
    }
    if part.escape == .jsonValue { writer.byte(UInt8(ascii: "\"")) }
    unsafe writer.copy(formatted.base, formatted.count, escaping: part.escape)
    if part.escape == .jsonValue { writer.byte(UInt8(ascii: "\"")) }
  }

  private mutating func writeValue(
    _ part: Program.Part, of row: Int, to writer: inout Writer, nowNs: UInt64
  ) {
    let width = part.format == .padded ? Int(part.width) : 1
    switch part.kind {
    case .slot: captured(part, row, &writer)
    case .pick:
      let slot = Int(part.a)
      let list = list(row, slot)
      guard list.count > 0 else {
        writer.unsendable = .empty(slot: slot)
        return
      }
      select(row, slot, value: UInt16(draw(row, below: UInt64(list.count))))
      captured(part, row, &writer)
      setSelected(row, slot, list.selected)
    case .cell:
      let table = program.tables[Int(part.a)]
      let user = unsafe users[row]
      let isForLife = program.users[Int(user.userClass)].row == UInt16(part.a)
      let index = table.row(
        index: user.index, iteration: isForLife ? 0 : user.iteration, userCount: userCount,
        key: seed &+ UInt64(part.a))
      text(
        Int(table.firstText) + Int(index) * max(1, table.columns.count) + Int(part.b), part, &writer
      )
    case .choice:
      text(Int(part.a) + Int(draw(row, below: UInt64(part.b))), part, &writer)
    case .int:
      let span = UInt64(bitPattern: part.b &- part.a)
      let offset = span == .max ? random(row) : draw(row, below: span &+ 1)
      writer.signed(part.a &+ Int64(bitPattern: offset), width: width)
    case .float: float(part, row, &writer)
    case .uuid:
      if part.escape == .jsonValue { writer.byte(UInt8(ascii: "\"")) }
      uuid(random(row), random(row), &writer)
      if part.escape == .jsonValue { writer.byte(UInt8(ascii: "\"")) }
    case .hex, .text:
      if part.escape == .jsonValue { writer.byte(UInt8(ascii: "\"")) }
      var bits: UInt64 = 0
      for index in 0..<Int(part.a) {
        if part.kind == .hex {
          if index % 16 == 0 { bits = random(row) }
          let digit = UInt8(truncatingIfNeeded: bits & 15)
          bits >>= 4
          writer.byte(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        } else {
          writer.byte(UInt8(ascii: "a") + UInt8(truncatingIfNeeded: draw(row, below: 26)))
        }
      }
      if part.escape == .jsonValue { writer.byte(UInt8(ascii: "\"")) }
    case .nowSeconds: writer.number((nowNs &+ wallOffsetNs) / 1_000_000_000, width: width)
    case .nowMilliseconds: writer.number((nowNs &+ wallOffsetNs) / 1_000_000, width: width)
    case .nowISO:
      if part.escape == .jsonValue { writer.byte(UInt8(ascii: "\"")) }
      instant((nowNs &+ wallOffsetNs) / 1_000_000_000, part.escape, &writer)
      if part.escape == .jsonValue { writer.byte(UInt8(ascii: "\"")) }
    case .sequence:
      let user = unsafe users[row]
      writer.number(user.index &+ user.iteration &* max(1, userCount), width: width)
    case .user: writer.number(unsafe users[row].index, width: width)
    case .iteration: writer.number(unsafe users[row].iteration, width: width)
    case .worker: writer.number(UInt64(worker), width: width)
    case .host:
      let field = program.origins[Int(origin(row))].hostField
      for byte in field.utf8 { writer.byte(byte) }
    case .literal, .cookies, .contentLength: break
    }
  }

  @inline(__always)
  private func random(_ row: Int) -> UInt64 { unsafe users[row].random.next() }

  @inline(__always)
  private func draw(_ row: Int, below bound: UInt64) -> UInt64 {
    random(row).multipliedFullWidth(by: bound).high
  }

  private func captured(_ part: Program.Part, _ row: Int, _ writer: inout Writer) {
    let header = slotHeader(row, Int(part.a))
    guard header & ~Self.bareBit != 0 else {
      writer.unsendable = .empty(slot: Int(part.a))
      return
    }
    let isQuoted = part.escape == .jsonValue && header & Self.bareBit == 0
    let isBare = part.escape == .jsonValue && header & Self.bareBit != 0
    if isQuoted { writer.byte(UInt8(ascii: "\"")) }
    unsafe writer.copy(
      slotBase(row, Int(part.a)) + Self.slotHeaderByteCount, Int(header & ~Self.bareBit) - 1,
      escaping: isBare ? .none : part.escape)
    if isQuoted { writer.byte(UInt8(ascii: "\"")) }
  }

  private func text(_ index: Int, _ part: Program.Part, _ writer: inout Writer) {
    let span = program.texts[index]
    if part.escape == .jsonValue { writer.byte(UInt8(ascii: "\"")) }
    unsafe program.pool.withUnsafeBufferPointer { pool in
      guard let base = pool.baseAddress else { return }
      unsafe writer.copy(base + Int(span.offset), Int(span.byteCount), escaping: part.escape)
    }
    if part.escape == .jsonValue { writer.byte(UInt8(ascii: "\"")) }
  }

  private func float(_ part: Program.Part, _ row: Int, _ writer: inout Writer) {
    let low = Double(bitPattern: UInt64(bitPattern: part.a))
    let high = Double(bitPattern: UInt64(bitPattern: part.b))
    var scale: UInt64 = 1
    for _ in 0..<part.width { scale *= 10 }
    // Below 10^9 with up to 9 decimals, so that the product is exact enough for an Int64.
    let unit = Double(random(row) >> 11) * 0x1p-53
    let scaled = ((low + (high - low) * unit) * Double(scale)).rounded()
    if scaled < 0 { writer.byte(UInt8(ascii: "-")) }
    let (whole, fraction) = UInt64(scaled.magnitude).quotientAndRemainder(dividingBy: scale)
    writer.number(whole)
    if part.width > 0 {
      writer.byte(UInt8(ascii: "."))
      writer.number(fraction, width: Int(part.width))
    }
  }

  /// RFC 9562 5.4: version 4, variant 10.
  private func uuid(_ high: UInt64, _ low: UInt64, _ writer: inout Writer) {
    let high = high & ~0xf000 | 0x4000
    let low = low & ~(3 << 62) | 2 << 62
    for index in 0..<32 {
      if index == 8 || index == 12 || index == 16 || index == 20 { writer.byte(UInt8(ascii: "-")) }
      let word = index < 16 ? high : low
      let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - index % 16 * 4) & 15)
      writer.byte(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
    }
  }

  /// `2026-11-25T12:00:00Z`.
  private func instant(
    _ second: UInt64, _ escape: Program.Part.Escape, _ writer: inout Writer
  ) {
    let date = CivilDate(day: Int64(second / 86_400))
    let time = second % 86_400
    var text = InlineArray<20, UInt8>(repeating: UInt8(ascii: "Z"))
    var at = 0
    func put(_ value: UInt64, _ digits: Int, _ end: UInt8) {
      var rest = value
      for index in (0..<digits).reversed() {
        text[at + index] = UInt8(ascii: "0") + UInt8(rest % 10)
        rest /= 10
      }
      text[at + digits] = end
      at += digits + 1
    }
    put(UInt64(max(0, date.year)), 4, UInt8(ascii: "-"))
    put(UInt64(date.month), 2, UInt8(ascii: "-"))
    put(UInt64(date.day), 2, UInt8(ascii: "T"))
    put(time / 3600, 2, UInt8(ascii: ":"))
    put(time / 60 % 60, 2, UInt8(ascii: ":"))
    put(time % 60, 2, UInt8(ascii: "Z"))
    for index in 0..<20 {
      let (bytes, count) = escape.escaped(text[index])
      for position in 0..<count {
        writer.byte(UInt8(truncatingIfNeeded: bytes >> UInt64(8 * position)))
      }
    }
  }
}

extension UInt64 {
  var digitCount: Int {
    var count = 1
    var rest = self
    while rest >= 10 {
      rest /= 10
      count += 1
    }
    return count
  }
}

/// The proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
struct CivilDate: Equatable {
  var year: Int64
  var month: Int64
  var day: Int64

  /// Of days since 1970-01-01.
  init(day number: Int64) {
    let shifted = number + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  init(year: Int64, month: Int64, day: Int64) {
    self.year = year
    self.month = month
    self.day = day
  }

  var dayNumber: Int64 {
    let year = month <= 2 ? self.year - 1 : self.year
    let era = (year >= 0 ? year : year - 399) / 400
    let yearOfEra = year - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }
}
