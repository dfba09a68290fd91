internal import SquallLoad

/// One jar a user (RFC 6265), in the user's own memory:
///
///     cookie │ cookie │ … │ directory of the request │ Set-Cookie line being read
///     cookie: name, value, path lengths u16, flags u16, expiry u32 │ name │ value │ path
///
///     flags: secure 1 │ origin that set it 4 │ 3 free │ bytes of its domain 8, the end of that origin's host
///
/// A domain of no bytes is the host alone (host-only-flag). A cookie for a domain that its host is not in is
/// not kept, and one that is Secure goes only where TLS protects it.
extension Machine {
  private static let headerByteCount = 12
  private static let secureFlag: UInt16 = 1

  private struct Cookie {
    var offset: Int
    var nameByteCount: Int
    var valueByteCount: Int
    var pathByteCount: Int
    var flags: UInt16
    /// Of the wall's clock; 0 for the end of the session.
    var expirySecond: UInt32

    var name: Range<Int> { offset + headerByteCount..<offset + headerByteCount + nameByteCount }
    var value: Range<Int> { name.upperBound..<name.upperBound + valueByteCount }
    var isSecure: Bool { flags & Machine.secureFlag != 0 }
    var origin: Int { Int(flags >> 1 & 15) }
    var domainByteCount: Int { Int(flags >> 8) }

    var path: Range<Int> { value.upperBound..<value.upperBound + pathByteCount }
    var end: Int { path.upperBound }
  }

  private func jar(_ row: Int) -> UnsafeMutablePointer<UInt8> {
    unsafe memory + (row &* stride &+ jarOffset)
  }

  private func word(_ row: Int, _ offset: Int) -> UInt16 {
    unsafe UnsafeRawPointer(jar(row) + offset).loadUnaligned(as: UInt16.self)
  }

  private func cookie(_ row: Int, at offset: Int) -> Cookie {
    Cookie(
      offset: offset, nameByteCount: Int(word(row, offset)),
      valueByteCount: Int(word(row, offset + 2)), pathByteCount: Int(word(row, offset + 4)),
      flags: word(row, offset + 6),
      expirySecond: unsafe UnsafeRawPointer(jar(row) + offset + 8).loadUnaligned(as: UInt32.self))
  }

  // MARK: Sending

  /// `Cookie: a=1; b=2` and its line end, longer paths first (RFC 6265 5.4), or nothing.
  func writeCookies(
    _ row: Int, requestIn request: Writer, to writer: inout Writer, nowNs: UInt64
  ) {
    let jarByteCount = unsafe Int(users[row].jarByteCount)
    guard jarByteCount > 0 else { return }
    let path = Self.path(of: request)
    let origin = Int(self.origin(row))
    let isSecure = program.origins[origin].isSecure
    let second = UInt32(clamping: (nowNs &+ wallOffsetNs) / 1_000_000_000)
    var isFirst = true
    var longest = Int.max
    // One turn for each length of path that there is.
    while true {
      var next = -1
      var offset = 0
      while offset < jarByteCount {
        let cookie = cookie(row, at: offset)
        offset = cookie.end
        guard isSecure || !cookie.isSecure, belongs(cookie, to: origin),
          cookie.expirySecond == 0 || cookie.expirySecond > second,
          matches(row, cookie, path, of: request)
        else { continue }
        if cookie.pathByteCount < longest { next = max(next, cookie.pathByteCount) }
        guard cookie.pathByteCount == longest else { continue }
        let before: StaticString = isFirst ? "Cookie: " : "; "
        isFirst = false
        unsafe writer.copy(before.utf8Start, before.utf8CodeUnitCount)
        unsafe writer.copy(jar(row) + cookie.name.lowerBound, cookie.nameByteCount)
        writer.byte(UInt8(ascii: "="))
        unsafe writer.copy(jar(row) + cookie.value.lowerBound, cookie.valueByteCount)
      }
      guard next >= 0 else { break }
      longest = next
    }
    if !isFirst {
      writer.byte(0x0d)
      writer.byte(0x0a)
    }
  }

  /// Cookies are a host's, whatever its ports and schemes (RFC 6265 8.5 and 8.6), or a domain's.
  private func belongs(_ cookie: Cookie, to origin: Int) -> Bool {
    guard origin != cookie.origin else { return true }
    let host = hosts[origin]
    guard cookie.domainByteCount > 0 else { return hosts[cookie.origin] == host }
    let domain = hosts[cookie.origin].suffix(cookie.domainByteCount)
    guard host.count >= domain.count, host.suffix(domain.count) == domain else { return false }
    return host.count == domain.count || Self.isBelow(host, domain.count)
  }

  /// The host is a name that ends with a dot and so many bytes more (RFC 6265 5.1.3). An address has no
  /// domain above it.
  private static func isBelow(_ host: [UInt8], _ byteCount: Int) -> Bool {
    host[host.count - byteCount - 1] == UInt8(ascii: ".")
      && !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(host[host.count - 1])
  }

  /// Of two cookies of one name and path, which RFC 6265 5.3 tells apart by their domains.
  private func sharesDomain(_ cookie: Cookie, _ attributes: Attributes, _ origin: Int) -> Bool {
    func domain(_ origin: Int, _ byteCount: Int) -> ArraySlice<UInt8> {
      byteCount > 0 ? hosts[origin].suffix(byteCount) : hosts[origin][...]
    }
    return domain(cookie.origin, cookie.domainByteCount)
      == domain(origin, attributes.domainByteCount)
  }

  /// Where the path stands in a request that begins with its line.
  private static func path(of request: Writer) -> Range<Int> {
    var start = 0
    while unsafe start < request.count && request.base[start] != 0x20 { start += 1 }
    start = min(start + 1, request.count)
    var end = start
    while end < request.count {
      let byte = unsafe request.base[end]
      if byte == 0x20 || byte == UInt8(ascii: "?") { break }
      end += 1
    }
    return start..<end
  }

  /// RFC 6265 5.1.4.
  private func matches(
    _ row: Int, _ cookie: Cookie, _ path: Range<Int>, of request: Writer
  ) -> Bool {
    guard cookie.pathByteCount <= path.count else { return false }
    for index in 0..<cookie.pathByteCount
    where unsafe jar(row)[cookie.path.lowerBound + index] != request.base[path.lowerBound + index] {
      return false
    }
    let endsWithSlash = unsafe jar(row)[cookie.path.upperBound - 1] == UInt8(ascii: "/")
    if path.count == cookie.pathByteCount || endsWithSlash { return true }
    return unsafe request.base[path.lowerBound + cookie.pathByteCount] == UInt8(ascii: "/")
  }

  /// Keeps the default path of cookies that the answer may set (RFC 6265 5.1.4): the request's path up
  /// to its last slash.
  func keepDirectory(_ row: Int, requestIn request: Writer) {
    let path = Self.path(of: request)
    var end = path.upperBound
    while unsafe end > path.lowerBound + 1 && request.base[end - 1] != UInt8(ascii: "/") {
      end -= 1
    }
    // Without the slash itself, unless it is all there is.
    if end > path.lowerBound + 1 { end -= 1 }
    let count = end - path.lowerBound
    let start = unsafe Int(users[row].jarByteCount)
    guard start + 1 + count <= Self.jarByteCount, count <= 255 else {
      if start < Self.jarByteCount { unsafe jar(row)[start] = 0 }
      return
    }
    unsafe jar(row)[start] = UInt8(count)
    unsafe (jar(row) + start + 1).update(from: request.base + path.lowerBound, count: count)
  }

  /// The same of a request whose path is known beforehand: not before a cookie comes.
  func keepDirectoryOfLine(_ row: Int) {
    let line = unsafe facts[Int(users[row].request)].line
    guard line.byteCount > 0 else { return }
    unsafe program.pool.withUnsafeBufferPointer { pool in
      guard let base = pool.baseAddress else { return }
      var writer = unsafe Writer(
        base: UnsafeMutablePointer(mutating: base + Int(line.offset)), limit: 0)
      writer.count = Int(line.byteCount)
      keepDirectory(row, requestIn: writer)
    }
  }

  private func directory(_ row: Int) -> Range<Int> {
    let start = unsafe Int(users[row].jarByteCount)
    guard start < Self.jarByteCount else { return start..<start }
    return start + 1..<start + 1 + Int(unsafe jar(row)[start])
  }

  // MARK: Receiving

  func keepLine(_ row: Int, _ piece: UnsafeRawBufferPointer, _ reply: inout Reply) {
    let start = directory(row).upperBound + Int(reply.lineByteCount)
    guard start + piece.count <= Self.jarByteCount, let bytes = piece.baseAddress else {
      reply.isJarFull = true
      return
    }
    unsafe UnsafeMutableRawPointer(jar(row) + start).copyMemory(
      from: bytes, byteCount: piece.count)
    reply.lineByteCount += UInt16(piece.count)
  }

  /// The line is whole: RFC 6265 5.2 and 5.3.
  mutating func endLine(_ row: Int, _ reply: inout Reply) {
    let directory = directory(row)
    let line = directory.upperBound..<directory.upperBound + Int(reply.lineByteCount)
    reply.lineByteCount = 0
    guard !reply.isJarFull else { return }
    // Aside, as the jar moves under it: the directory, then the line.
    let byteCount = line.upperBound - directory.lowerBound
    unsafe scratch.update(from: jar(row) + directory.lowerBound, count: byteCount)
    let given = directory.count..<byteCount
    var attributes = Attributes(path: 0..<directory.count)
    let pair = end(of: UInt8(ascii: ";"), in: given)
    let equals = end(of: UInt8(ascii: "="), in: given.lowerBound..<pair)
    guard equals < pair else { return }
    let name = trimmed(given.lowerBound..<equals)
    let value = trimmed(equals + 1..<pair)
    guard !name.isEmpty else { return }
    let origin = Int(self.origin(row))
    read(min(pair + 1, given.upperBound)..<given.upperBound, from: origin, into: &attributes)
    guard !attributes.isForeign else { return }

    let path = attributes.path
    // Nothing in the scratch for "/".
    let pathByteCount = path.isEmpty ? 1 : path.count
    remove(row, name: name, path: path, attributes, origin)
    if !attributes.isOver {
      let start = unsafe Int(users[row].jarByteCount)
      let end = start + Self.headerByteCount + name.count + value.count + pathByteCount
      if end <= Self.jarByteCount {
        put(
          row, start, UInt16(name.count), UInt16(value.count), UInt16(pathByteCount), attributes,
          origin)
        var at = start + Self.headerByteCount
        unsafe (jar(row) + at).update(from: scratch + name.lowerBound, count: name.count)
        at += name.count
        unsafe (jar(row) + at).update(from: scratch + value.lowerBound, count: value.count)
        at += value.count
        if path.isEmpty {
          unsafe jar(row)[at] = UInt8(ascii: "/")
        } else {
          unsafe (jar(row) + at).update(from: scratch + path.lowerBound, count: path.count)
        }
        unsafe users[row].jarByteCount = UInt16(end)
      } else {
        reply.isJarFull = true
      }
    }
    // The directory goes behind the cookies again.
    let start = unsafe Int(users[row].jarByteCount)
    guard start < Self.jarByteCount else { return }
    guard start + 1 + directory.count <= Self.jarByteCount else {
      unsafe jar(row)[start] = 0
      return
    }
    unsafe jar(row)[start] = UInt8(directory.count)
    unsafe (jar(row) + start + 1).update(from: scratch, count: directory.count)
  }

  private func put(
    _ row: Int, _ offset: Int, _ name: UInt16, _ value: UInt16, _ path: UInt16,
    _ attributes: Attributes, _ origin: Int
  ) {
    let flags =
      (attributes.isSecure ? Self.secureFlag : 0) | UInt16(origin) << 1
      | UInt16(attributes.domainByteCount) << 8
    let base = unsafe UnsafeMutableRawPointer(jar(row) + offset)
    unsafe base.storeBytes(of: name, as: UInt16.self)
    unsafe base.storeBytes(of: value, toByteOffset: 2, as: UInt16.self)
    unsafe base.storeBytes(of: path, toByteOffset: 4, as: UInt16.self)
    unsafe base.storeBytes(of: flags, toByteOffset: 6, as: UInt16.self)
    unsafe base.storeBytes(of: attributes.expirySecond, toByteOffset: 8, as: UInt32.self)
  }

  private struct Attributes {
    /// In the scratch; empty for "/".
    var path: Range<Int>
    var expirySecond: UInt32 = 0
    var hasMaxAge = false
    var isOver = false
    var isSecure = false
    var isForeign = false
    /// 0 for the host alone.
    var domainByteCount = 0
  }

  private func read(
    _ range: Range<Int>, from origin: Int, into attributes: inout Attributes
  ) {
    var start = range.lowerBound
    while start < range.upperBound {
      let end = end(of: UInt8(ascii: ";"), in: start..<range.upperBound)
      let equals = self.end(of: UInt8(ascii: "="), in: start..<end)
      let name = trimmed(start..<equals)
      let value = trimmed(min(equals + 1, end)..<end)
      start = end + 1
      if isWord(name, "path") {
        let isAbsolute = unsafe !value.isEmpty && scratch[value.lowerBound] == UInt8(ascii: "/")
        if isAbsolute { attributes.path = value }
      } else if isWord(name, "secure") {
        attributes.isSecure = true
      } else if isWord(name, "domain") {
        let isDotted = unsafe !value.isEmpty && scratch[value.lowerBound] == UInt8(ascii: ".")
        let domain = isDotted ? value.lowerBound + 1..<value.upperBound : value
        // The last one given counts, and one that is empty does not.
        guard !domain.isEmpty else { continue }
        attributes.isForeign = !isOurs(domain, hosts[origin])
        attributes.domainByteCount = attributes.isForeign ? 0 : domain.count
      } else if isWord(name, "max-age") {
        guard let seconds = number(value) else { continue }
        attributes.hasMaxAge = true
        attributes.isOver = seconds <= 0
        attributes.expirySecond = UInt32(clamping: wallSecond &+ max(0, seconds))
      } else if isWord(name, "expires"), !attributes.hasMaxAge {
        guard let second = instant(value) else { continue }
        attributes.isOver = second <= wallSecond
        attributes.expirySecond = UInt32(clamping: second)
      }
    }
  }

  /// The host itself, or a domain above it (RFC 6265 5.1.3).
  private func isOurs(_ domain: Range<Int>, _ host: [UInt8]) -> Bool {
    guard domain.count <= host.count else { return false }
    for index in 0..<domain.count {
      let byte = unsafe scratch[domain.lowerBound + index].lowercasedASCII
      guard byte == host[host.count - domain.count + index] else { return false }
    }
    return domain.count == host.count || Self.isBelow(host, domain.count)
  }

  private mutating func remove(
    _ row: Int, name: Range<Int>, path: Range<Int>, _ attributes: Attributes, _ origin: Int
  ) {
    var offset = 0
    let jarByteCount = unsafe Int(users[row].jarByteCount)
    while offset < jarByteCount {
      let cookie = cookie(row, at: offset)
      let isRoot =
        unsafe cookie.pathByteCount == 1 && path.isEmpty
        && jar(row)[cookie.path.lowerBound] == UInt8(ascii: "/")
      if equal(row, cookie.name, name), isRoot || equal(row, cookie.path, path),
        sharesDomain(cookie, attributes, origin)
      {
        let rest = jarByteCount - cookie.end
        unsafe UnsafeMutableRawPointer(jar(row) + offset).copyMemory(
          from: jar(row) + cookie.end, byteCount: rest)
        unsafe users[row].jarByteCount = UInt16(offset + rest)
        return
      }
      offset = cookie.end
    }
  }

  private func equal(_ row: Int, _ kept: Range<Int>, _ given: Range<Int>) -> Bool {
    guard kept.count == given.count else { return false }
    for index in 0..<kept.count
    where unsafe jar(row)[kept.lowerBound + index] != scratch[given.lowerBound + index] {
      return false
    }
    return true
  }

  /// Values of cookies that this request captures, once its answer is complete.
  mutating func takeCookies(_ row: Int, _ request: Program.Request) {
    for index in request.captures.indices where program.captures[index].kind == .cookie {
      let capture = program.captures[index]
      var offset = 0
      while unsafe offset < Int(users[row].jarByteCount) {
        let cookie = cookie(row, at: offset)
        offset = cookie.end
        guard cookie.nameByteCount == Int(capture.first.byteCount),
          named(row, cookie, capture.first)
        else { continue }
        guard cookie.valueByteCount <= Int(program.slots[Int(capture.slot)].byteCountMax) else {
          unsafe replies[row].overflowedCapture = UInt8(
            index - request.captures.indices.lowerBound)
          continue
        }
        unsafe (slotBase(row, Int(capture.slot)) + Self.slotHeaderByteCount).update(
          from: jar(row) + cookie.value.lowerBound, count: cookie.valueByteCount)
        setSlotHeader(row, Int(capture.slot), UInt16(cookie.valueByteCount + 1))
      }
    }
  }

  private func named(_ row: Int, _ cookie: Cookie, _ name: Program.Span) -> Bool {
    for index in 0..<cookie.nameByteCount
    where unsafe jar(row)[cookie.name.lowerBound + index] != byte(name, index) { return false }
    return true
  }

  // MARK: Words in the scratch

  private var wallSecond: Int64 { Int64(clamping: (replyNowNs &+ wallOffsetNs) / 1_000_000_000) }

  private func end(of byte: UInt8, in range: Range<Int>) -> Int {
    var index = range.lowerBound
    while unsafe index < range.upperBound && scratch[index] != byte { index += 1 }
    return index
  }

  private func trimmed(_ range: Range<Int>) -> Range<Int> {
    var (start, end) = (range.lowerBound, range.upperBound)
    while unsafe start < end && (scratch[start] == 0x20 || scratch[start] == 0x09) { start += 1 }
    while unsafe start < end && (scratch[end - 1] == 0x20 || scratch[end - 1] == 0x09) { end -= 1 }
    return start..<end
  }

  private func isWord(_ range: Range<Int>, _ word: StaticString) -> Bool {
    guard range.count == word.utf8CodeUnitCount else { return false }
    for index in 0..<range.count
    where unsafe scratch[range.lowerBound + index].lowercasedASCII != word.utf8Start[index] {
      return false
    }
    return true
  }

  private func number(_ range: Range<Int>) -> Int64? {
    guard !range.isEmpty else { return nil }
    var value: Int64 = 0
    let isNegative = unsafe scratch[range.lowerBound] == UInt8(ascii: "-")
    for index in range.lowerBound + (isNegative ? 1 : 0)..<range.upperBound {
      let digit = unsafe scratch[index] &- UInt8(ascii: "0")
      guard digit <= 9 else { return nil }
      value = min(value * 10 + Int64(digit), 1 << 40)
    }
    return isNegative ? -value : value
  }

  /// Seconds since 1970 of a cookie's date, by the tokens of RFC 6265 5.1.1.
  private func instant(_ range: Range<Int>) -> Int64? {
    var (hour, minute, second): (Int64, Int64, Int64) = (-1, 0, 0)
    var (day, month, year): (Int64, Int64, Int64) = (-1, -1, -1)
    var start = range.lowerBound
    while start < range.upperBound {
      var end = start
      while unsafe end < range.upperBound && !scratch[end].endsDateToken { end += 1 }
      let token = start..<end
      start = end + 1
      guard !token.isEmpty else { continue }
      let colon = self.end(of: UInt8(ascii: ":"), in: token)
      if colon < token.upperBound, hour < 0 {
        let next = self.end(of: UInt8(ascii: ":"), in: colon + 1..<token.upperBound)
        guard let h = number(token.lowerBound..<colon), let m = number(colon + 1..<next),
          let s = number(min(next + 1, token.upperBound)..<token.upperBound)
        else { continue }
        (hour, minute, second) = (h, m, s)
      } else if let value = number(token) {
        if token.count <= 2, day < 0 {
          day = value
        } else if year < 0 {
          year = value < 70 ? value + 2000 : value < 100 ? value + 1900 : value
        }
      } else if month < 0, let value = self.month(token) {
        month = value
      }
    }
    guard (1...31).contains(day), month > 0, year >= 1601, (0...23).contains(hour),
      (0...59).contains(minute), (0...59).contains(second)
    else { return nil }
    let date = CivilDate(year: year, month: month, day: day)
    return date.dayNumber * 86_400 + hour * 3600 + minute * 60 + second
  }

  private func month(_ range: Range<Int>) -> Int64? {
    let names: StaticString = "janfebmaraprmayjunjulaugsepoctnovdec"
    guard range.count >= 3 else { return nil }
    for month in 0..<12 {
      var fits = true
      for index in 0..<3
      where unsafe scratch[range.lowerBound + index].lowercasedASCII
        != names.utf8Start[month * 3 + index]
      {
        fits = false
      }
      if fits { return Int64(month + 1) }
    }
    return nil
  }
}

extension UInt8 {
  /// RFC 6265 5.1.1's delimiter.
  fileprivate var endsDateToken: Bool {
    self == 0x09 || (0x20...0x2f).contains(self) || (0x3b...0x40).contains(self)
      || (0x5b...0x60).contains(self) || (0x7b...0x7e).contains(self)
  }
}
