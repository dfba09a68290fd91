/// Why what a peer says is not HTTP/2: one case per cause, so that a report can count them apart.
///
/// Each of them ends the connection. RFC 9113 5.4.1 leaves that open also for those that concern
/// one stream, and a peer that errs in one answer is not to be believed in the next.
///
/// The raw values live in counters and results: append, never renumber.
package enum H2Violation: UInt8, Error, CaseIterable, BitwiseCopyable, Sendable {
  // Where the connection begins.
  case notHTTP2
  case firstFrameNotSettings

  // Frames.
  case frameTooLarge
  case wrongFrameLength
  case settingsAckNotEmpty
  case frameOnStreamZero
  case frameNotOnStreamZero
  case paddingTooLong
  case continuationExpected
  case continuationUnexpected
  case tooManyContinuations
  case blockTooLong
  case pushPromise

  // Settings.
  case invalidEnablePush
  case initialWindowTooLarge
  case invalidFrameSizeMax

  // Flow control.
  case zeroWindowIncrement
  case windowOverflow

  // Streams.
  case idleStream
  case closedStream
  case lastStreamRaised
  case tooManyReplies

  // HPACK.
  case truncatedBlock
  case integerTooLarge
  case invalidIndex
  case invalidHuffman
  case tableTooLarge
  case misplacedTableSize

  // Responses.
  case missingStatus
  case repeatedStatus
  case invalidStatusCode
  case unknownPseudoField
  case misplacedPseudoField
  case invalidFieldName
  case invalidFieldValue
  case connectionField
  case invalidContentLength
  case conflictingContentLengths
  case contentLengthMismatch
  case fieldsTooLong
  case tooManyFields
  case switchingProtocols
  case tooManyInterims
  case interimEndsStream
  case dataBeforeHead
  case bodyNotAllowed
  case trailersDoNotEndStream

  // Requests, which only a server reads.
  case missingRequestField
  case repeatedRequestField

  /// Where they are numbered from beside `Malformation`.
  package static let firstNumber: UInt8 = 64

  /// Whether it shows in the first bytes, so that they tell what is spoken instead.
  package var isOfStart: Bool { self == .notHTTP2 || self == .firstFrameNotSettings }

  /// Whether the answer may be right and only more than we take.
  package var isOurLimit: Bool {
    switch self {
    case .tooManyContinuations, .blockTooLong, .fieldsTooLong, .tooManyFields, .tooManyInterims:
      true
    default: false
    }
  }

  /// As it stands in results: `h2_frame_too_large`.
  package var name: String {
    let words = String(describing: self)
    return zip(words, " " + words).reduce(into: "h2_") { name, pair in
      let (character, before) = pair
      if character.isUppercase, before.isLowercase { name += "_" }
      name += character.lowercased()
    }
  }

  /// What the peer is told in the GOAWAY.
  package var code: H2ErrorCode {
    switch self {
    case .frameTooLarge, .wrongFrameLength, .settingsAckNotEmpty: .frameSizeError
    case .initialWindowTooLarge, .windowOverflow: .flowControlError
    case .closedStream: .streamClosed
    case .tooManyReplies, .tooManyContinuations, .blockTooLong, .fieldsTooLong, .tooManyFields,
      .tooManyInterims:
      .enhanceYourCalm
    case .truncatedBlock, .integerTooLarge, .invalidIndex, .invalidHuffman, .tableTooLarge,
      .misplacedTableSize:
      .compressionError
    default: .protocolError
    }
  }

  /// One sentence for a person, without the final full stop.
  package var explanation: StaticString {
    switch self {
    case .notHTTP2: "the peer answered with HTTP/1: it does not speak HTTP/2 on this port"
    case .firstFrameNotSettings: "the first frame is not the peer's SETTINGS"
    case .frameTooLarge: "a frame is longer than the 16,384 bytes we allow"
    case .wrongFrameLength: "a frame has a length that its type cannot have"
    case .settingsAckNotEmpty: "an acknowledgement of SETTINGS is not empty"
    case .frameOnStreamZero: "a frame that belongs to a stream came without one"
    case .frameNotOnStreamZero: "a frame that belongs to the connection came on a stream"
    case .paddingTooLong: "the padding of a frame is longer than the frame"
    case .continuationExpected: "another frame came where the header block had to be continued"
    case .continuationUnexpected: "a CONTINUATION came though no header block was open"
    case .tooManyContinuations: "a header block came in more than 32 CONTINUATION frames"
    case .blockTooLong: "a header block is longer than 64 KiB"
    case .pushPromise: "the peer pushed a response though push is off"
    case .invalidEnablePush: "the peer's SETTINGS would let us push to it"
    case .initialWindowTooLarge: "the peer's SETTINGS hold a window of 2^31 bytes or more"
    case .invalidFrameSizeMax: "the peer's SETTINGS hold a frame size outside 2^14 to 2^24 - 1"
    case .zeroWindowIncrement: "a WINDOW_UPDATE adds nothing"
    case .windowOverflow: "a WINDOW_UPDATE or SETTINGS makes a window of 2^31 bytes or more"
    case .idleStream: "a frame came on a stream that was never opened"
    case .closedStream: "a frame came on a stream that was already closed"
    case .lastStreamRaised: "a second GOAWAY names a higher stream than the first"
    case .tooManyReplies: "the peer asks for replies faster than it reads them"
    case .truncatedBlock: "a header block ends within a field"
    case .integerTooLarge: "a number in a header block is 2^32 or more"
    case .invalidIndex: "a header block names a table entry that does not exist"
    case .invalidHuffman: "a Huffman-coded string in a header block is broken"
    case .tableTooLarge: "the peer made its header table larger than we allow"
    case .misplacedTableSize:
      "a header block changes the table's size after a field, or a third time"
    case .missingStatus: "a response has no status"
    case .repeatedStatus: "a response has two statuses"
    case .invalidStatusCode: "the status is not three digits from 100 to 599"
    case .unknownPseudoField: "a response has a pseudo field other than the status"
    case .misplacedPseudoField: "a pseudo field stands behind a field or among the trailers"
    case .invalidFieldName: "a field name is empty or holds a byte or capital no name may hold"
    case .invalidFieldValue: "a field value holds a control character or has space at an end"
    case .connectionField: "a response has a field that HTTP/2 forbids, such as Connection"
    case .invalidContentLength: "a Content-Length is not one number below 2^63"
    case .conflictingContentLengths: "two Content-Length fields disagree"
    case .contentLengthMismatch: "the body is not as long as its Content-Length says"
    case .fieldsTooLong: "the fields of a response are longer than 64 KiB"
    case .tooManyFields: "a response has more than 256 fields"
    case .switchingProtocols: "the peer switched protocols (101), which HTTP/2 cannot"
    case .tooManyInterims: "more than 20 interim (1xx) responses came before the final one"
    case .interimEndsStream: "an interim (1xx) response ends its stream"
    case .dataBeforeHead: "a body came before the status"
    case .bodyNotAllowed: "a body came though request or status forbid one"
    case .trailersDoNotEndStream: "a second head came that does not end the stream"
    case .missingRequestField: "a request lacks its method, scheme or path"
    case .repeatedRequestField: "a request has a pseudo field twice"
    }
  }
}
