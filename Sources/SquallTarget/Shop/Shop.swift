internal import Glibc
internal import SquallHTTP

/// A small shop: login with a form and its CSRF word, tokens, items, a basket, orders, redirects,
/// cookies, uploads. It judges every request, so what it counts is what was done right.
///
/// It keeps nothing of its users: tokens, baskets and orders are words with a mark that every process of
/// the target can check. The mark finds mistakes, it does not resist an attack.
@safe struct Shop: ~Copyable {
  /// The names that requests are counted under, `GET /items/[id]`, with the status behind it when the
  /// shop refused.
  static let nameByteCountMax = 48
  static let itemCount: UInt64 = 100
  private static let pageItemCount: UInt64 = 10
  /// An order is on its way this long.
  private static let shippingNs: UInt64 = 50_000_000
  private static let requestByteCountMax = 64 << 10

  private let key: UInt64
  private let fieldsRoom: UnsafeMutableRawBufferPointer
  private let bodyRoom: UnsafeMutableRawBufferPointer
  private let answerRoom: UnsafeMutableRawBufferPointer
  private let nameRoom: UnsafeMutableRawBufferPointer
  private var fields: WireWriter
  private var body: WireWriter
  private var route: StaticString = "/"
  private var type: StaticString = "application/json"
  /// Of what a user gets no second time, such as a CSRF word.
  private var counter: UInt64
  /// Requests that come in pieces, by row.
  private let pieces: UnsafeMutablePointer<Pieces>
  private let rowCount: Int

  @safe private struct Pieces {
    var start: UnsafeMutableRawPointer?
    /// Above the most when the request is too large.
    var byteCount = 0
  }

  init(key: UInt64, process: Int, rowCount: Int) {
    self.key = key
    self.rowCount = rowCount
    counter = UInt64(process) << 48
    unsafe fieldsRoom = .allocate(byteCount: 1_024, alignment: 8)
    unsafe bodyRoom = .allocate(byteCount: 4_096, alignment: 8)
    unsafe answerRoom = .allocate(byteCount: 8_192, alignment: 8)
    unsafe nameRoom = .allocate(byteCount: Self.nameByteCountMax, alignment: 8)
    unsafe fields = WireWriter(into: fieldsRoom, skipping: 0)
    unsafe body = WireWriter(into: bodyRoom, skipping: 0)
    unsafe pieces = .allocate(capacity: rowCount)
    unsafe pieces.initialize(repeating: Pieces(), count: rowCount)
  }

  deinit {
    for row in 0..<rowCount { unsafe pieces[row].start?.deallocate() }
    unsafe pieces.deallocate()
    unsafe fieldsRoom.deallocate()
    unsafe bodyRoom.deallocate()
    unsafe answerRoom.deallocate()
    unsafe nameRoom.deallocate()
  }

  // MARK: Requests in pieces

  /// Keeps what is here of a request.
  func keep(_ bytes: UnsafeRawBufferPointer, row: Int) {
    let kept = unsafe pieces[row].byteCount
    unsafe pieces[row].byteCount = min(kept + bytes.count, Self.requestByteCountMax + 1)
    guard kept + bytes.count <= Self.requestByteCountMax else { return }
    if unsafe pieces[row].start == nil {
      unsafe pieces[row].start = .allocate(byteCount: Self.requestByteCountMax, alignment: 8)
    }
    if let start = unsafe pieces[row].start {
      unsafe UnsafeMutableRawBufferPointer(start: start + kept, count: bytes.count)
        .copyMemory(from: bytes)
    }
  }

  /// The request with these last bytes of it; nil when it is too large.
  private func whole(_ bytes: UnsafeRawBufferPointer, row: Int) -> Excerpt? {
    guard unsafe pieces[row].byteCount > 0 else { return unsafe Excerpt(bytes) }
    unsafe keep(bytes, row: row)
    let byteCount = unsafe pieces[row].byteCount
    forget(row: row)
    guard byteCount <= Self.requestByteCountMax, let start = unsafe pieces[row].start else {
      return nil
    }
    return unsafe Excerpt(UnsafeRawBufferPointer(start: start, count: byteCount))
  }

  /// The connection is another one from here on.
  func forget(row: Int) { unsafe pieces[row].byteCount = 0 }

  // MARK: Answers

  /// What a request came to. Its bytes are valid until the next one.
  @safe struct Answer {
    let bytes: UnsafeRawBufferPointer
    /// What it is counted under.
    let name: UnsafeRawBufferPointer
  }

  /// `last` is the end of the request whose other pieces were kept.
  mutating func answer(
    _ last: UnsafeRawBufferPointer, row: Int, closes: Bool, nowNs: UInt64
  ) -> Answer {
    unsafe fields = WireWriter(into: fieldsRoom, skipping: 0)
    unsafe body = WireWriter(into: bodyRoom, skipping: 0)
    type = "application/json"
    route = "/"
    var isHead = false
    var method = Excerpt("?")
    let status: UInt16
    if let bytes = unsafe whole(last, row: row) {
      if let request = ShopRequest(bytes) {
        method = request.method
        isHead = request.method == "HEAD"
        status = serve(request, nowNs: nowNs)
      } else {
        status = refuse(411, "a body in chunks: send Content-Length")
      }
    } else {
      status = refuse(413, "the request is larger than 64 KiB")
    }
    var writer = unsafe WireWriter(into: answerRoom, skipping: 0)
    writer.write("HTTP/1.1 ")
    writer.write(decimal: UInt32(status))
    writer.write(" ")
    writer.write(TargetAnswer.reason(status))
    if status != 204 {
      writer.write("\r\nContent-Type: ")
      writer.write(type)
      writer.write("\r\nContent-Length: ")
      writer.write(decimal: UInt32(body.byteCount))
    }
    unsafe writer.write(UnsafeRawBufferPointer(rebasing: fieldsRoom[..<fields.byteCount]))
    if closes { writer.write("\r\nConnection: close") }
    writer.write("\r\n\r\n")
    if status != 204, !isHead {
      unsafe writer.write(UnsafeRawBufferPointer(rebasing: bodyRoom[..<body.byteCount]))
    }
    var name = unsafe WireWriter(into: nameRoom, skipping: 0)
    unsafe name.write(method[0..<min(method.count, 8)].raw)
    name.write(" ")
    name.write(route)
    if status >= 400 {
      name.write(" ")
      name.write(decimal: UInt32(status))
    }
    return unsafe Answer(
      bytes: UnsafeRawBufferPointer(rebasing: answerRoom[..<writer.byteCount]),
      name: UnsafeRawBufferPointer(rebasing: nameRoom[..<name.byteCount]))
  }

  private mutating func refuse(_ status: UInt16, _ reason: StaticString) -> UInt16 {
    body.write("{\"error\":\"")
    body.write(reason)
    body.write("\"}")
    return status
  }

  private mutating func serve(_ request: ShopRequest, nowNs: UInt64) -> UInt16 {
    let isGet = request.method == "GET" || request.method == "HEAD"
    if request.path == "/health" {
      route = "/health"
      type = "text/plain"
      body.write("ok")
      return isGet ? 200 : 405
    }
    if request.path == "/" { return redirect(302, "/items") }
    if request.path == "/login" {
      route = "/login"
      if isGet { return form() }
      return request.method == "POST" ? logIn(request) : refuse(405, "GET or POST")
    }
    if request.path == "/report" {
      route = "/report"
      return report(request)
    }
    if request.path == "/events" {
      route = "/events"
      return event(request)
    }
    return serveUser(request, isGet: isGet, nowNs: nowNs)
  }

  private enum Page {
    case items, item, basket, orders, order, uploads, logout

    init?(_ path: Excerpt) {
      if path == "/items" {
        self = .items
      } else if path.hasPrefix("/items/") {
        self = .item
      } else if path == "/basket" {
        self = .basket
      } else if path == "/orders" {
        self = .orders
      } else if path.hasPrefix("/orders/") {
        self = .order
      } else if path == "/uploads" {
        self = .uploads
      } else if path == "/logout" {
        self = .logout
      } else {
        return nil
      }
    }

    var route: StaticString {
      switch self {
      case .items: "/items"
      case .item: "/items/[id]"
      case .basket: "/basket"
      case .orders: "/orders"
      case .order: "/orders/[id]"
      case .uploads: "/uploads"
      case .logout: "/logout"
      }
    }
  }

  /// What only users who are logged in get.
  private mutating func serveUser(
    _ request: ShopRequest, isGet: Bool, nowNs: UInt64
  ) -> UInt16 {
    guard let page = Page(request.path) else {
      route = "/*"
      return refuse(404, "the shop has no such page")
    }
    route = page.route
    guard let user = user(of: request) else {
      fields.write("\r\nWWW-Authenticate: Bearer")
      return refuse(401, "log in, and send Authorization: Bearer TOKEN")
    }
    if let session = request.cookie("session"), !(session == user) {
      return refuse(409, "the cookie is of one user, the token of another")
    }
    switch (page, isGet, request.method == "POST") {
    case (.items, true, _): return items(request)
    case (.item, true, _): return item(request)
    case (.basket, true, _):
      body.write("{\"items\":")
      body.write(decimal: UInt32(basket(of: user, request) ?? 0))
      body.write("}")
      return 200
    case (.basket, _, true): return putIntoBasket(request, user)
    case (.orders, _, true): return order(request, user, nowNs: nowNs)
    case (.order, true, _): return order(of: request, user, nowNs: nowNs)
    case (.uploads, _, true): return upload(request)
    case (.logout, _, true):
      fields.write("\r\nSet-Cookie: session=; Path=/; Max-Age=0")
      return 204
    default: return refuse(405, "not with this method")
    }
  }

  private mutating func redirect(_ status: UInt16, _ to: StaticString) -> UInt16 {
    fields.write("\r\nLocation: ")
    fields.write(to)
    return status
  }

  // MARK: Marks

  private enum Kind: UInt64 { case form, token, basket, order }

  /// FNV-1a over the key and what is marked, mixed as SplitMix64 ends.
  private func mark(_ kind: Kind, _ text: Excerpt, _ number: UInt64 = 0) -> UInt64 {
    var hash = 0xcbf2_9ce4_8422_2325 ^ key &+ kind.rawValue &* 0x9e37_79b9_7f4a_7c15
    for index in 0..<text.count { hash = (hash ^ UInt64(text[index])) &* 0x100_0000_01b3 }
    hash = (hash ^ number) &* 0xbf58_476d_1ce4_e5b9
    hash = (hash ^ hash >> 27) &* 0x94d0_49bb_1331_11eb
    return hash ^ hash >> 31
  }

  /// Who the token belongs to.
  private func user(of request: ShopRequest) -> Excerpt? {
    guard let field = request.field("authorization"), field.hasPrefix("Bearer ") else { return nil }
    let (name, mark) = field.dropping(7).cut(at: UInt8(ascii: "."))
    return mark.mark == self.mark(.token, name) ? name : nil
  }

  // MARK: Login

  private mutating func form() -> UInt16 {
    type = "text/html"
    counter += 1
    fields.write("\r\nSet-Cookie: visit=")
    fields.write(mark: counter)
    fields.write("; Path=/login; HttpOnly")
    body.write("<form method=\"post\"><input type=\"hidden\" name=\"csrf\" value=\"")
    body.write(mark: mark(.form, Excerpt(""), counter))
    body.write("\"><input name=\"name\"><input name=\"password\" type=\"password\"></form>")
    return 200
  }

  private mutating func logIn(_ request: ShopRequest) -> UInt16 {
    let name: Excerpt?
    let password: Excerpt?
    if request.hasType("application/x-www-form-urlencoded") {
      guard let visit = request.cookie("visit")?.mark,
        request.body.item("csrf")?.mark == mark(.form, Excerpt(""), visit)
      else { return refuse(403, "the csrf word is not that of the form: get /login first") }
      name = request.body.item("name")
      password = request.body.item("password")
    } else if request.hasType("application/json") {
      let json = ShopJSON(request.body)
      name = json["name"].flatMap { $0.isText ? $0.text : nil }
      password = json["password"].flatMap { $0.isText ? $0.text : nil }
    } else {
      return refuse(415, "send a form or JSON")
    }
    guard let name, let password, (1...32).contains(name.count), Self.isWord(name) else {
      return refuse(400, "name (letters and digits) and password are wanted")
    }
    guard password == "secret" else { return refuse(401, "the password is another one") }
    fields.write("\r\nSet-Cookie: session=")
    unsafe fields.write(name.raw)
    fields.write("; Path=/; HttpOnly")
    body.write("{\"access_token\":\"")
    unsafe body.write(name.raw)
    body.write(".")
    body.write(mark: mark(.token, name))
    body.write("\",\"expires_in\":3600,\"user\":{\"name\":\"")
    unsafe body.write(name.raw)
    body.write("\",\"roles\":[\"customer\"]}}")
    return 200
  }

  private static func isWord(_ text: Excerpt) -> Bool {
    for index in 0..<text.count {
      switch text[index] | 0x20 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): continue
      default: return false
      }
    }
    return true
  }

  // MARK: Items

  private mutating func items(_ request: ShopRequest) -> UInt16 {
    let query = request.query.item("q") ?? Excerpt("item")
    guard Self.isWord(query), query.count <= 32 else {
      return refuse(400, "q is a word of letters and digits")
    }
    guard let page = (request.query.item("page") ?? Excerpt("1")).number,
      (1...Self.itemCount / Self.pageItemCount).contains(page)
    else { return refuse(400, "page is a number from 1 to 10") }
    body.write("{\"query\":\"")
    unsafe body.write(query.raw)
    body.write("\",\"items\":[")
    let first = (page - 1) * Self.pageItemCount + 1
    for id in first..<first + Self.pageItemCount {
      if id > first { body.write(",") }
      write(item: id)
    }
    body.write("],\"next\":")
    if page < Self.itemCount / Self.pageItemCount {
      body.write("\"/items?page=")
      body.write(decimal: UInt32(page + 1))
      body.write("\"}")
    } else {
      body.write("null}")
    }
    return 200
  }

  private mutating func item(_ request: ShopRequest) -> UInt16 {
    guard let id = request.path(behind: "/items/")?.number, (1...Self.itemCount).contains(id) else {
      return refuse(404, "there are items 1 to 100")
    }
    write(item: id)
    return 200
  }

  private mutating func write(item id: UInt64) {
    body.write("{\"id\":")
    body.write(decimal: UInt32(id))
    body.write(",\"name\":\"item ")
    body.write(decimal: UInt32(id))
    body.write("\",\"price\":")
    body.write(decimal: UInt32(id * 25))
    body.write(",\"in_stock\":true}")
  }

  // MARK: Basket and orders

  /// Items in the user's basket; nil without one.
  private func basket(of user: Excerpt, _ request: ShopRequest) -> UInt64? {
    guard let cookie = request.cookie("basket") else { return nil }
    let (count, mark) = cookie.cut(at: UInt8(ascii: "."))
    guard let count = count.number, mark.mark == self.mark(.basket, user, count) else { return nil }
    return count
  }

  private mutating func putIntoBasket(_ request: ShopRequest, _ user: Excerpt) -> UInt16 {
    let json = ShopJSON(request.body)
    guard request.hasType("application/json"),
      let item = json["item"]?.number, (1...Self.itemCount).contains(item),
      let quantity = json["quantity"]?.number, (1...9).contains(quantity)
    else { return refuse(400, "send JSON with item 1 to 100 and quantity 1 to 9, both numbers") }
    let count = (basket(of: user, request) ?? 0) + quantity
    guard count < 1_000_000 else { return refuse(409, "the basket is full") }
    fields.write("\r\nSet-Cookie: basket=")
    fields.write(decimal: UInt32(count))
    fields.write(".")
    fields.write(mark: mark(.basket, user, count))
    fields.write("; Path=/")
    body.write("{\"items\":")
    body.write(decimal: UInt32(count))
    body.write("}")
    return 201
  }

  private mutating func order(
    _ request: ShopRequest, _ user: Excerpt, nowNs: UInt64
  ) -> UInt16 {
    guard let count = basket(of: user, request), count > 0 else {
      return refuse(409, "the basket is empty")
    }
    let createdMs = nowNs / 1_000_000
    fields.write("\r\nSet-Cookie: basket=; Path=/; Max-Age=0\r\nLocation: /orders/")
    fields.write(mark: createdMs)
    fields.write("-")
    fields.write(mark: mark(.order, user, createdMs))
    return 303
  }

  private mutating func order(
    of request: ShopRequest, _ user: Excerpt, nowNs: UInt64
  ) -> UInt16 {
    guard let id = request.path(behind: "/orders/"),
      let createdMs = id.cut(at: UInt8(ascii: "-")).before.mark,
      id.cut(at: UInt8(ascii: "-")).behind.mark == mark(.order, user, createdMs)
    else { return refuse(404, "the user has no such order") }
    let isShipped = nowNs >= createdMs &* 1_000_000 &+ Self.shippingNs
    body.write("{\"id\":\"")
    unsafe body.write(id.raw)
    body.write("\",\"status\":\"")
    body.write(isShipped ? "shipped" : "packing")
    body.write("\"}")
    return 200
  }

  // MARK: The rest

  /// For the owner: name and password with each request (RFC 7617).
  private mutating func report(_ request: ShopRequest) -> UInt16 {
    // admin:secret
    guard let field = request.field("authorization"), field == "Basic YWRtaW46c2VjcmV0" else {
      fields.write("\r\nWWW-Authenticate: Basic realm=\"shop\"")
      return refuse(401, "the report is for admin with the password secret")
    }
    type = "text/csv"
    body.write("item,sold\n1,3\n2,5\n")
    return 200
  }

  /// What a page tells of itself: an id, and what happened.
  private mutating func event(_ request: ShopRequest) -> UInt16 {
    let json = ShopJSON(request.body)
    guard request.method == "POST", request.hasType("application/json"),
      let id = json["id"], id.isText, id.text.count == 36, id.text[14] == UInt8(ascii: "4"),
      let at = json["at"]?.number, (1_600_000_000_000...4_000_000_000_000).contains(at)
    else { return refuse(400, "send JSON with id, a UUID of version 4, and at, in milliseconds") }
    return 204
  }

  /// RFC 7578: parts between boundaries, and the last boundary.
  private mutating func upload(_ request: ShopRequest) -> UInt16 {
    guard request.hasType("multipart/form-data"), let type = request.field("content-type"),
      let start = type.firstIndex(of: Excerpt("boundary="))
    else { return refuse(415, "send multipart/form-data with its boundary") }
    let boundary = type.dropping(start + 9)
    var at = 0
    var partCount: UInt32 = 0
    var isClosed = false
    while let found = request.body.firstIndex(of: boundary, from: at), found >= 2,
      request.body[found - 1] == UInt8(ascii: "-"), request.body[found - 2] == UInt8(ascii: "-")
    {
      at = found + boundary.count
      isClosed = request.body.dropping(at).hasPrefix("--")
      if isClosed { break }
      guard request.body.dropping(at).hasPrefix("\r\nContent-Disposition: form-data; name=\"")
      else { return refuse(400, "a part without its name") }
      partCount += 1
    }
    guard isClosed, partCount > 0 else { return refuse(400, "the parts have no end") }
    body.write("{\"parts\":")
    body.write(decimal: partCount)
    body.write("}")
    return 201
  }
}

extension WireWriter {
  /// Sixteen hexadecimal digits.
  fileprivate mutating func write(mark: UInt64) {
    var digits = InlineArray<16, UInt8>(repeating: 0)
    for index in 0..<16 {
      let digit = UInt8(truncatingIfNeeded: mark >> UInt64(60 - 4 * index) & 15)
      digits[index] = digit + (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
    }
    unsafe digits.span.withUnsafeBytes { unsafe write($0) }
  }
}
