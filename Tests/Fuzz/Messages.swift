@preconcurrency import Glibc
import SquallHTTP

// What libFuzzer calls (https://llvm.org/docs/LibFuzzer.html), built by scripts/fuzz. FUZZ names the reader. A message
// is read whole and cut: if that makes a difference, or anything traps, libFuzzer keeps the message.

private let memory = GuardedBytes(capacity: 1 << 20)
nonisolated(unsafe) private var memo = HeadMemo()
nonisolated(unsafe) private let check: (_ bytes: [UInt8], _ pieces: [ArraySlice<UInt8>]) -> Void = {
  switch getenv("FUZZ").map({ String(cString: $0) }) {
  case "responses": checkResponse
  case "requests": checkRequest
  case "frames": checkFrames
  default: fatalError("FUZZ is not responses, requests or frames")
  }
}()

/// The first byte says where the others are cut.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = UnsafeBufferPointer(start: start, count: count)
  guard let seed = input.first else { return 0 }
  let bytes = Array(input.dropFirst())
  check(bytes, pieces(bytes, seed: UInt64(seed)))
  return 0
}

/// Into single bytes, or at up to six places.
private func pieces(_ bytes: [UInt8], seed: UInt64) -> [ArraySlice<UInt8>] {
  guard seed > 0 else { return bytes.indices.map { bytes[$0...$0] } }
  var state = seed
  let cuts = (0..<seed % 7).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int((state >> 33) % UInt64(bytes.count + 1))
  }
  let places = [0] + cuts.sorted() + [bytes.count]
  return zip(places, places.dropFirst()).map { bytes[$0..<$1] }
}

private func require(_ holds: Bool, _ words: @autoclosure () -> String) {
  guard !holds else { return }
  fputs(words() + "\n", stderr)
  abort()
}

private func checkResponse(_ bytes: [UInt8], _ pieces: [ArraySlice<UInt8>]) {
  for (isHead, closes) in [(false, true), (true, false)] {
    let whole = ResponseReading([bytes[...]], isHead: isHead, closes: closes, in: memory)
    let cut = ResponseReading(pieces, isHead: isHead, closes: closes, in: memory)
    require(whole == cut, "whole \(whole), cut \(cut)")
    let recalled = ResponseReading(
      [bytes[...]], isHead: isHead, closes: closes, in: memory, recalling: &memo)
    require(whole == recalled, "whole \(whole), recalled \(recalled)")
  }
}

private func checkRequest(_ bytes: [UInt8], _ pieces: [ArraySlice<UInt8>]) {
  let whole = RequestReading([bytes[...]], in: memory)
  let cut = RequestReading(pieces, in: memory)
  require(whole == cut, "whole \(whole), cut \(cut)")
}

// MARK: - HTTP/2

/// Frames and their header blocks, answered to eight requests. Fields that are kept are decoded anew each time, others
/// may be remembered: both come to the same.
private func checkFrames(_ bytes: [UInt8], _ pieces: [ArraySlice<UInt8>]) {
  let whole = said(by: [bytes[...]], keepsFields: false)
  let cut = said(by: pieces, keepsFields: false)
  require(whole == cut, "whole \(whole), cut \(cut)")
  let kept = said(by: [bytes[...]], keepsFields: true)
  require(whole == kept, "remembered \(whole), decoded \(kept)")
}

nonisolated(unsafe) private let requests = {
  do {
    return H2Requests([
      try H2RequestTemplate(
        method: "GET", scheme: "http", target: "/", host: "a", headers: [], body: [],
        userAgent: "fuzz")
    ])
  } catch {
    fatalError("\(error)")
  }
}()
nonisolated(unsafe) private let output = UnsafeMutableRawBufferPointer.allocate(
  byteCount: 64 << 10, alignment: 16)
nonisolated(unsafe) private var reader = ResponseHeadReader()

private func said(by pieces: [ArraySlice<UInt8>], keepsFields: Bool) -> [String] {
  var connection = H2Connection(streamCountMax: 8)
  var out = OutgoingBytes(output)
  for tag in 0..<8 as Range<UInt32> {
    _ = connection.open(requests[0], tag: tag, keepsFields: keepsFields, into: &out)
  }
  var said: [String] = []
  for piece in pieces {
    memory.lend(piece) { bytes in
      var rest = bytes
      while said.last?.hasPrefix("violation") != true {
        let event = connection.next(&rest, reader: &reader)
        if case .needsMore = event { break }
        said.append("\(event)")
      }
    }
  }
  return said
}
