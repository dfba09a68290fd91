import SquallHTTP

extension H2Conversation {
  private typealias W = H2Wire
  private static let ok: KeyValuePairs = [":status": "200"]

  /// `opens` plain requests.
  private static func gets(_ count: Int, showsBody: Bool = false) -> [Open] {
    Array(repeating: Open(showsBody: showsBody), count: count)
  }

  /// What good peers say.
  static let all: [H2Conversation] = [
    H2Conversation("nothing but SETTINGS", [], [W.settings(), W.settingsAck]),
    H2Conversation(
      "settings of every kind", gets(1),
      [
        W.settings([1: 0, 2: 0, 3: 7, 4: 0, 5: 0xFF_FFFF, 6: 1, 8: 1, 0xABCD: .max]),
        W.settings([4: 0x7FFF_FFFF]), W.settingsAck,
      ]),
    H2Conversation(
      "a body in one frame", gets(1, showsBody: true),
      [W.settings(), W.head(1, ok), W.data(1, "hello")]),
    H2Conversation(
      "a body with its length", gets(1),
      [W.settings(), W.head(1, [":status": "404", "content-length": "5"]), W.data(1, "hello")]),
    H2Conversation(
      "a body in many frames", gets(1, showsBody: true),
      [
        W.settings(), W.head(1, ok), W.data(1, "a", ends: false), W.data(1, "", ends: false),
        W.data(1, "bc", ends: false), W.data(1, ""),
      ]),
    H2Conversation(
      "padding", gets(2, showsBody: true),
      [
        W.settings(),
        W.frame(1, flags: 0xC, stream: 1, [3] + W.block(ok) + [0, 0, 0]),
        W.frame(0, flags: 0x8, stream: 1, [2, 65, 66, 0, 0]),
        W.frame(0, flags: 0x8, stream: 1, [0]),
        W.frame(0, flags: 0x9, stream: 1, [4, 0, 0, 0, 0]),
        W.frame(1, flags: 0x2D, stream: 3, [1, 0, 0, 0, 0, 9] + W.block(ok) + [0]),
      ]),
    H2Conversation(
      "a head that ends its stream", gets(2),
      [W.settings(), W.head(3, ok, ends: true), W.head(1, ok, ends: true)]),
    H2Conversation(
      "a head in pieces", gets(1),
      [
        W.settings(),
        W.frame(1, flags: 0x8, stream: 1, [1] + W.block(ok).prefix(3) + [0]),
        W.frame(9, stream: 1, []),
        W.frame(9, stream: 1, Array(W.block(ok).dropFirst(3))),
        W.frame(9, flags: 0x4, stream: 1, W.block(["a": "b"])),
        W.data(1, "x"),
      ]),
    H2Conversation(
      "a head in empty pieces", gets(1),
      [
        W.settings(), W.frame(1, stream: 1), W.frame(9, stream: 1),
        W.frame(9, flags: 0x4, stream: 1, W.block(ok)), W.data(1, "x"),
      ]),
    H2Conversation(
      "interim responses", gets(1),
      [
        W.settings(), W.head(1, [":status": "100"]),
        W.head(1, [":status": "103", "link": "</a>", "content-length": "7"]),
        W.head(1, ok), W.data(1, "x"),
      ]),
    H2Conversation(
      "trailers", gets(2, showsBody: true),
      [
        W.settings(), W.head(1, ok), W.data(1, "x", ends: false),
        W.head(1, ["grpc-status": "0"], ends: true), W.head(3, ok),
        W.head(3, ["grpc-status": "0"], ends: true),
      ]),
    H2Conversation(
      "responses without a body", [Open(request: .head), Open(), Open(), Open(request: .head)],
      [
        W.settings(), W.head(1, [":status": "200", "content-length": "5"], ends: true),
        W.head(3, [":status": "304", "content-length": "5"], ends: true),
        W.head(5, [":status": "204"]), W.data(5, ""),
        W.head(7, [":status": "200", "content-length": "5"]), W.data(7, ""),
      ]),
    H2Conversation(
      "answers in another order, frames of both between one another", gets(3, showsBody: true),
      [
        W.settings(), W.head(5, ok), W.head(1, ok), W.data(5, "5", ends: false),
        W.data(1, "1", ends: false), W.head(3, ok, ends: true), W.data(5, "5"), W.data(1, "1"),
      ]),
    H2Conversation(
      "a table that fills and is used", gets(4),
      [
        W.settings(),
        W.head(
          1,
          W.added(":status", "201") + W.added("server", "s") + W.added("date", "d")
            + W.added("content-length", "1")),
        W.data(1, "x"),
        W.head(3, [0xC1, 0xC0, 0xBF, 0xBE]), W.data(3, "x"),
        // To nothing and back.
        W.head(5, [0x20, 0x3F, 0xE1, 0x1F, 0x88] + W.added("a", "b")), W.data(5, "x"),
        W.head(7, [0x88, 0xBE] + [0x7E] + W.string("c")), W.data(7, "x"),
      ]),
    H2Conversation(
      "Huffman code", gets(1),
      [
        W.settings(),
        // 302, private, a date and a URL: the first response of RFC 7541 C.6.
        W.head(
          1,
          [
            0x48, 0x82, 0x64, 0x02, 0x58, 0x85, 0xAE, 0xC3, 0x77, 0x1A, 0x4B, 0x61, 0x96, 0xD0,
            0x7A, 0xBE, 0x94, 0x10, 0x54, 0xD4, 0x44, 0xA8, 0x20, 0x05, 0x95, 0x04, 0x0B, 0x81,
            0x66, 0xE0, 0x82, 0xA6, 0x2D, 0x1B, 0xFF, 0x6E, 0x91, 0x9D, 0x29, 0xAD, 0x17, 0x18,
            0x63, 0xC7, 0x8F, 0x0B, 0x97, 0xC8, 0xE9, 0xAE, 0x82, 0xAE, 0x43, 0xD3,
          ], ends: true),
      ]),
    H2Conversation(
      "the same head again, which a memo may know", gets(6),
      [W.settings()]
        + (0..<6).map {
          W.head(
            $0 * 2 + 1,
            [0x88] + W.added("server", "nginx") + W.added("date", "Tue, 25 Nov 2026")
              + [0x0F, 0x0D, 1, 0x31]) + W.data($0 * 2 + 1, "x")
        }),
    H2Conversation(
      "resets of several codes", gets(3),
      [
        W.settings(), W.reset(1, .refusedStream), W.head(3, ok), W.reset(3, .cancel),
        W.head(5, ok), W.data(5, "x", ends: false), W.reset(5, H2ErrorCode(rawValue: 0xFFFF)),
        W.reset(5, .noError),
      ]),
    H2Conversation(
      "GOAWAY in two steps", gets(3),
      [
        W.settings(), W.goAway(0x7FFF_FFFF), W.head(1, ok, ends: true),
        W.goAway(3, .noError, debug: Array("graceful".utf8)), W.head(3, ok, ends: true),
      ]),
    H2Conversation(
      "GOAWAY with a reason", gets(2),
      [W.settings(), W.goAway(0, .enhanceYourCalm)]),
    H2Conversation(
      "frames that say nothing to us", gets(1),
      [
        W.settings(), W.frame(2, stream: 1, [0, 0, 0, 0, 16]),
        W.frame(2, stream: 8, [0, 0, 0, 0, 0]),
        W.frame(0xA, Array("alt-svc".utf8)), W.frame(0xFE, flags: 0xFF, stream: 99),
        W.ping(7, flags: W.ack), W.head(1, ok, ends: true), W.windowUpdate(1, 9),
        W.frame(0xB, stream: 1, [1]),
      ]),
    H2Conversation(
      "pings", gets(1),
      [W.settings(), W.ping(1), W.ping(.max), W.head(1, ok, ends: true), W.ping(3)]),
    H2Conversation(
      "a body that goes up as windows open", [Open(request: .post), Open()],
      [
        W.settings([4: 10]), W.windowUpdate(1, 30_000), W.windowUpdate(0, 50_000),
        W.settings([4: 200_000]), W.head(3, ok, ends: true), W.head(1, ok, ends: true),
      ]),
    H2Conversation(
      "an answer before its request is done", [Open(request: .post)],
      [W.settings(), W.head(1, [":status": "413"], ends: true), W.reset(1, .noError)]),
  ]
}
