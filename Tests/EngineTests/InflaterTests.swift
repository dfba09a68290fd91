import Foundation
import SquallEngine
import Testing

/// One text, compressed in each way that HTTP knows, by another program (Python's gzip and zlib).
enum Compressed {
  static let text =
    #"{"items":[{"id":"i-1"},{"id":"i-2"}],"token":"t-77","note":""#
    + String(repeating: "abc ", count: 40) + #""}"#

  static let gzip = bytes(
    "H4sIAAAAAAACA6tWyixJzS1WsoquVspMUbJSytQ1VKrVgXOMlGpjdZRK8rNT84D8El1zcy"
      + "Udpbz8klQgLzEpWWEwY6VaAOCBPjXeAAAA")
  static let zlib = bytes(
    "eNqrVsosSc0tVrKKrlbKTFGyUsrUNVSq1YFzjJRqY3WUSvKzU/OA/BJdc3MlHaW8/JJUIC"
      + "8xKVlhMGOlWgCIHUTM")
  /// A raw stream (RFC 1951), which some servers call deflate.
  static let raw = bytes(
    "q1bKLEnNLVayiq5WykxRslLK1DVUqtWBc4yUamN1lErys1PzgPwSXXNzJR2lvPySVCAvMS"
      + "lZYTBjpVoA")
  /// A gzip file of two members.
  static let members = bytes(
    "H4sIAAAAAAACA6tWyixJzS1WsoquVspMUbJSytQ1VKrVgXOMlGpjdZRK8rNT84D8El1zcy"
      + "Udpbz8klQgLzEpWYFEDAAwCiJvbwAAAB+LCAAAAAAAAgNTSExKVqAXVqoFAGr8XvdvAAAA")

  private static func bytes(_ text: String) -> [UInt8] { Array(Data(base64Encoded: text)!) }
}

@Suite struct InflaterTests {
  private enum End: Equatable { case complete, cutShort, damaged, tooLarge, noMemory }

  /// Inflates bytes that come in pieces.
  private func inflate(
    _ bytes: [UInt8], isGzip: Bool, cutAt cut: Int, with inflaters: inout Inflaters
  ) throws -> (text: String, end: End) {
    let taken = inflaters.take(isGzip: isGzip, first: bytes[0])
    let index = try #require(taken)
    defer { inflaters.giveBack(index) }
    var text: [UInt8] = []
    for piece in [bytes[..<cut], bytes[cut...]] {
      let end: End? = Array(piece).withUnsafeBytes { piece in
        var rest = piece
        while true {
          switch inflaters.next(index, &rest) {
          case .bytes(let more): text += more
          case .needsMore: return nil
          case .damaged: return .damaged
          case .tooLarge: return .tooLarge
          case .noMemory: return .noMemory
          }
        }
      }
      if let end { return (String(decoding: text, as: UTF8.self), end) }
    }
    return (
      String(decoding: text, as: UTF8.self), inflaters.hasEnded(index) ? .complete : .cutShort
    )
  }

  @Test(arguments: [
    (Compressed.gzip, true), (Compressed.zlib, false), (Compressed.raw, false),
    (Compressed.members, true),
  ])
  func aStreamIsReadAtEverySplit(bytes: [UInt8], isGzip: Bool) throws {
    var inflaters = Inflaters()
    for cut in 1..<bytes.count {
      let (text, end) = try inflate(bytes, isGzip: isGzip, cutAt: cut, with: &inflaters)
      #expect(text == Compressed.text && end == .complete, "cut at \(cut)")
    }
  }

  @Test func whatIsMissingOrWrongIsSaid() throws {
    var inflaters = Inflaters()
    let gzip = Compressed.gzip
    let short = try inflate(Array(gzip.dropLast()), isGzip: true, cutAt: 9, with: &inflaters)
    #expect(short.end == .cutShort)
    var wrong = gzip
    wrong[wrong.count - 6] ^= 1  // In the checksum.
    #expect(try inflate(wrong, isGzip: true, cutAt: 9, with: &inflaters).end == .damaged)
    #expect(try inflate(gzip + [7], isGzip: true, cutAt: 9, with: &inflaters).end == .damaged)
    #expect(try inflate(Array("no".utf8), isGzip: true, cutAt: 1, with: &inflaters).end == .damaged)
    // What came before does not matter to the next.
    #expect(try inflate(gzip, isGzip: true, cutAt: 9, with: &inflaters).end == .complete)
  }

  @Test func aBombIsNotReadToItsEnd() throws {
    var inflaters = Inflaters()
    let most = Int(Inflaters.byteCountMax)
    let just = zlibStream(of: [UInt8](repeating: 32, count: most))
    #expect(try inflate(just, isGzip: false, cutAt: 9, with: &inflaters).end == .complete)
    let more = zlibStream(of: [UInt8](repeating: 32, count: most + 1))
    #expect(try inflate(more, isGzip: false, cutAt: 9, with: &inflaters).end == .tooLarge)
  }

  @Test func thereAreSoManyAtATime() {
    var inflaters = Inflaters()
    for index in 0..<Inflaters.countMax {
      let taken = inflaters.take(isGzip: true, first: 31)
      #expect(taken == index)
    }
    let beyond = inflaters.take(isGzip: true, first: 31)
    #expect(beyond == nil)
    inflaters.giveBack(5)
    let again = inflaters.take(isGzip: true, first: 31)
    #expect(again == 5)
  }
}
