/// The requests of a run as HTTP/2 sends them, rendered once: for every request three header
/// blocks, each in its frames with the stream's number left open.
///
/// - `first` goes out once a connection. It adds the fields that all requests have in common to the
///   peer's table.
/// - `later` names them by their index there: some ten bytes a request, which spares the peer's
///   time more than ours.
/// - `plain` spells everything out, for a peer that lets us have no table, or a small one.
///
/// What is added is the same whichever request comes first and nothing is added after it, so a
/// connection need only know whether it has sent its first.
@safe package struct H2Requests: ~Copyable {
  private let bytes: UnsafeMutableRawBufferPointer
  private let requests: [H2Request]

  package var count: Int { requests.count }

  package subscript(index: Int) -> H2Request { requests[index] }

  package init(_ templates: [H2RequestTemplate]) {
    let encoder = FieldEncoder()
    let common = Self.common(templates, encoder: encoder)
    let addedByteCount = common.reduce(0) { $0 + $1.listByteCount }

    var text: [UInt8] = []
    let places = templates.map { template in
      let blocks = Self.blocks(template, common: common, encoder: encoder)
      let parts = blocks.map { Self.frames($0, endsStream: template.body.isEmpty) }
      return (parts + [template.body]).map { part in
        defer { text += part }
        return text.count..<text.count + part.count
      }
    }
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: text.count, alignment: 16)
    unsafe bytes.copyBytes(from: text)
    unsafe self.bytes = bytes
    requests = zip(templates, places).map { template, places in
      let part = { (index: Int) in
        unsafe ByteCursor(UnsafeRawBufferPointer(rebasing: bytes[places[index]]))
      }
      return H2Request(
        first: part(0), later: part(1), plain: part(2), body: part(3),
        addedByteCount: UInt32(addedByteCount), expectsNoBody: template.expectsNoBody)
    }
  }

  deinit { unsafe bytes.deallocate() }

  /// Fields that every request has once and no static entry is, as many as a table holds.
  private static func common(
    _ templates: [H2RequestTemplate], encoder: borrowing FieldEncoder
  ) -> [FieldEncoder.Field] {
    guard let first = templates.first else { return [] }
    var byteCount = 0
    return first.fields.filter { field in
      guard encoder.staticIndex(of: field) == nil,
        templates.allSatisfy({ $0.fields.filter { $0.name == field.name } == [field] }),
        byteCount + field.listByteCount <= Int(HeaderTable.byteCountDefault)
      else { return false }
      byteCount += field.listByteCount
      return true
    }
  }

  /// `first`, `later` and `plain`.
  private static func blocks(
    _ template: H2RequestTemplate, common: [FieldEncoder.Field], encoder: borrowing FieldEncoder
  ) -> [[UInt8]] {
    var first: [UInt8] = []
    var later: [UInt8] = []
    var plain: [UInt8] = []
    // Whichever request goes first adds the same fields in the same order. Pseudo fields have one
    // order in all requests, and lead (RFC 9113 8.3); of the others the common ones lead.
    let fields =
      template.fields.filter(\.isPseudo) + common.filter { !$0.isPseudo }
      + template.fields.filter { !$0.isPseudo && !common.contains($0) }
    for field in fields {
      if let index = encoder.staticIndex(of: field) {
        let indexed = FieldEncoder.indexed(index)
        first += indexed
        later += indexed
        plain += indexed
        continue
      }
      let literal = encoder.literal(field, isAdded: false)
      plain += literal
      if let place = common.firstIndex(of: field) {
        first += encoder.literal(field, isAdded: true)
        later += FieldEncoder.indexed(Int(StaticFields.count) + common.count - place)
      } else {
        first += literal
        later += literal
      }
    }
    return [first, later, plain]
  }

  /// `block` as HEADERS and CONTINUATION frames that any peer takes.
  private static func frames(_ block: [UInt8], endsStream: Bool) -> [UInt8] {
    var frames: [UInt8] = []
    var rest = block[...]
    repeat {
      let piece = rest.prefix(H2Request.pieceByteCountMax)
      rest = rest.dropFirst(piece.count)
      let header = FrameHeader(
        payloadByteCount: UInt32(piece.count), kind: frames.isEmpty ? .headers : .continuation,
        flags: (rest.isEmpty ? FrameHeader.endHeaders : 0)
          | (frames.isEmpty && endsStream ? FrameHeader.endStream : 0))
      for shift in [24, 16, 8, 0] {
        frames.append(UInt8(truncatingIfNeeded: header.firstWord >> UInt32(shift)))
      }
      frames += [header.flags, 0, 0, 0, 0] + piece
    } while !rest.isEmpty
    return frames
  }
}

/// One rendered request. Its bytes belong to someone who keeps them until the last stream that
/// sends them has ended.
package struct H2Request: BitwiseCopyable {
  /// Of a block, in one frame. Leaves room for a change of the table's size before it.
  static let pieceByteCountMax = Int(FrameReader.payloadByteCountMax) - tableUpdateByteCountMax
  static let tableUpdateByteCountMax = 6

  let first: ByteCursor
  let later: ByteCursor
  let plain: ByteCursor
  let body: ByteCursor
  /// What `first` adds to the peer's table, as RFC 7541 4.1 counts.
  let addedByteCount: UInt32
  let expectsNoBody: Bool

  /// What an empty buffer must hold for the request to be sent at all.
  package var headByteCountMax: Int {
    @inline(__always) get {
      max(first.byteCount, plain.byteCount) &+ Self.tableUpdateByteCountMax
    }
  }
}
