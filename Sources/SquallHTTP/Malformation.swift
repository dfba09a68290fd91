/// Why a message cannot be read: one case per cause, so that a report can count them apart.
///
/// The raw values live in counters and results: append, never renumber.
package enum Malformation: UInt8, Error, CaseIterable, BitwiseCopyable, Sendable {
  // The connection ended first.
  case closedBeforeHead
  case closedInHead
  case closedInBody

  // Status line.
  case notHTTP
  case unsupportedVersion
  case invalidStatusCode
  case statusCodeOutOfRange
  case tooManyInterims
  case switchingProtocols

  // Request line.
  case invalidMethod
  case invalidTarget
  case targetTooLong
  case missingHost
  case repeatedHost

  // Fields.
  case headTooLong
  case tooManyFields
  case leadingWhitespace
  case foldedFramingField
  case emptyFieldName
  case invalidFieldName
  case spaceBeforeColon
  case missingColon
  case bareCarriageReturn
  case bareLineFeed
  case nullByte
  case controlCharacter

  // Framing.
  case invalidContentLength
  case contentLengthTooLarge
  case conflictingContentLengths
  case contentLengthWithTransferEncoding
  case invalidTransferEncoding
  case chunkedNotLast
  case transferEncodingInHTTP10

  // Chunks and trailers.
  case invalidChunkSize
  case chunkSizeTooLong
  case chunkSizeTooLarge
  case invalidChunkExtension
  case chunkLineTooLong
  case chunkExtensionsTooLong
  case chunkNotDelimited
  case trailersTooLong

  /// As results call it, such as `invalid_field_name`.
  package var name: String {
    let words = String(describing: self)
    return zip(words, " " + words).reduce(into: "") { name, pair in
      let (character, before) = pair
      if character.isUppercase, before.isLowercase { name += "_" }
      name += character.lowercased()
    }
  }

  /// Whether it shows in the first bytes of a message, so that they tell what is spoken instead.
  package var isOfStart: Bool {
    switch self {
    case .notHTTP, .unsupportedVersion, .invalidStatusCode: true
    default: false
    }
  }

  /// Whether the message may be right and only longer than we take.
  package var isOurLimit: Bool {
    switch self {
    case .tooManyInterims, .targetTooLong, .headTooLong, .tooManyFields, .chunkLineTooLong,
      .chunkExtensionsTooLong, .trailersTooLong:
      true
    default: false
    }
  }

  /// One sentence for a person, without the final full stop.
  package var explanation: StaticString {
    switch self {
    case .closedBeforeHead: "the peer closed the connection before the first byte of a message"
    case .closedInHead: "the peer closed the connection inside the head of a message"
    case .closedInBody: "the peer closed the connection before the end of the body it announced"
    case .notHTTP: "the first bytes are not those of an HTTP/1 message"
    case .unsupportedVersion: "the version is neither HTTP/1.0 nor HTTP/1.1"
    case .invalidStatusCode: "the status code is not exactly three digits between spaces"
    case .statusCodeOutOfRange: "the status code is outside 100 to 599"
    case .tooManyInterims: "more than 20 interim (1xx) responses came before the final one"
    case .switchingProtocols: "the peer switched protocols (101) though nobody asked it to"
    case .invalidMethod: "the method is not a token of at most 32 bytes"
    case .invalidTarget: "the request target is empty or holds a byte that must be percent-encoded"
    case .targetTooLong: "the request target is longer than the server takes"
    case .missingHost: "an HTTP/1.1 request came without a Host field"
    case .repeatedHost: "a request came with more than one Host field"
    case .headTooLong: "the head is longer than 64 KiB"
    case .tooManyFields: "a head or trailer section has more than 256 fields"
    case .leadingWhitespace: "whitespace stands before the first field"
    case .foldedFramingField: "a field that decides where the message ends is folded over two lines"
    case .emptyFieldName: "a field has no name"
    case .invalidFieldName: "a field name holds a byte that no token may hold"
    case .spaceBeforeColon: "whitespace stands between a field name and its colon"
    case .missingColon: "a field line has no colon"
    case .bareCarriageReturn: "a carriage return is not followed by a line feed"
    case .bareLineFeed: "a line ends in a line feed without a carriage return"
    case .nullByte: "a NUL byte stands in the head"
    case .controlCharacter: "a control character stands in the head"
    case .invalidContentLength: "a Content-Length is not one row of digits"
    case .contentLengthTooLarge: "a Content-Length is 2^63 or more"
    case .conflictingContentLengths: "two Content-Length fields disagree"
    case .contentLengthWithTransferEncoding:
      "the head has both Content-Length and Transfer-Encoding"
    case .invalidTransferEncoding: "a Transfer-Encoding is not a list of transfer codings"
    case .chunkedNotLast: "the last transfer coding is not chunked, applied once"
    case .transferEncodingInHTTP10: "an HTTP/1.0 message has a Transfer-Encoding"
    case .invalidChunkSize: "a chunk size is not hexadecimal digits and nothing else"
    case .chunkSizeTooLong: "a chunk size has more than 16 digits"
    case .chunkSizeTooLarge: "a chunk size is 2^63 or more"
    case .invalidChunkExtension: "a chunk extension holds a byte that is not allowed there"
    case .chunkLineTooLong: "a chunk size line is longer than 4 KiB"
    case .chunkExtensionsTooLong: "the chunk extensions of one body are longer than 16 KiB"
    case .chunkNotDelimited: "the bytes after a chunk are not CR LF"
    case .trailersTooLong: "the trailer section is longer than 16 KiB"
    }
  }
}
