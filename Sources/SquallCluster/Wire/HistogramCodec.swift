import SquallLoad

// A sparse histogram on the wire:
//
//   0                                          empty: one byte
//   1 · under · over · sum · sumOfSquares · min · max     as varints, max as max - min
//     · bucketCount varint · firstBucket varint · tokens
//
// Each token stands for the next non-empty bucket; `previous` is the count before it, 0 at first.
//
//   0ddddddd                 the next bucket; count = previous + unzigzag(d)
//   10ggggcc                 g + 1 empty buckets, then one of count c + 1
//   110ddddd dddddddd        the next bucket; count = previous + unzigzag(13 bits, high ones first)
//   111ggggg …               g empty buckets (31: a varint more), then a bucket of count varint
//
// Neighbours in a well-filled interval differ by about the square root of their counts, so that one
// byte does; where samples are few, gaps are short and counts are 1 to 4, and one byte does again.

extension ByteWriter {
  mutating func histogram(_ histogram: SparseHistogram) {
    guard !histogram.isEmpty else { return append(UInt8(0)) }
    append(UInt8(1))
    varint(histogram.underCount)
    varint(histogram.overCount)
    varint(histogram.sumNs)
    varint(histogram.sumOfSquares)
    // A process killed between two stores can leave a count without its extremes.
    let lowNs = min(histogram.minNs, histogram.maxNs)
    varint(lowNs)
    varint(histogram.maxNs - lowNs)
    varint(UInt64(histogram.buckets.count))
    guard let first = histogram.buckets.first else { return }
    varint(first.index)
    append(addingCapacity: histogram.buckets.count * tokenByteCountMax) { bytes in
      var next = first.index
      var previous: UInt32 = 0
      for bucket in histogram.buckets {
        bytes.token(gap: bucket.index - next, count: bucket.count, previous: previous)
        previous = bucket.count
        next = bucket.index &+ 1
      }
    }
  }
}

/// Its first byte, and two varints of sixteen and thirty-two bits.
private let tokenByteCountMax = 1 + 3 + 5

extension OutputSpan<UInt8> {
  fileprivate mutating func token(gap: UInt16, count: UInt32, previous: UInt32) {
    let delta = Int64(count) - Int64(previous)
    let zigzag = UInt64(bitPattern: (delta << 1) ^ (delta >> 63))
    if gap == 0, zigzag < 1 << 7 {
      append(UInt8(zigzag))
    } else if gap > 0, gap <= 16, count <= 4, count > 0 {
      append(UInt8(0x80) | UInt8(gap - 1) << 2 | UInt8(count - 1))
    } else if gap == 0, zigzag < 1 << 13 {
      append(UInt8(0xc0) | UInt8(zigzag >> 8))
      append(UInt8(truncatingIfNeeded: zigzag))
    } else {
      append(UInt8(0xe0) | UInt8(min(gap, 31)))
      if gap >= 31 { varint(UInt32(gap - 31)) }
      varint(count)
    }
  }

  private mutating func varint(_ value: UInt32) {
    var rest = value
    while rest >= 0x80 {
      append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    append(UInt8(truncatingIfNeeded: rest))
  }
}

extension ByteReader {
  mutating func histogram() throws(Malformed) -> SparseHistogram {
    var histogram = SparseHistogram()
    guard try flag() else { return histogram }
    histogram.underCount = try varint(UInt32.self)
    histogram.overCount = try varint(UInt32.self)
    histogram.sumNs = try varint(UInt64.self)
    histogram.sumOfSquares = try varint(UInt128.self)
    histogram.minNs = try varint()
    histogram.maxNs = histogram.minNs + (try varint(upTo: .max - histogram.minNs))
    let count = try count(upTo: HistogramLayout.bucketCount)
    if count > 0 {
      let first = try varint(UInt16.self)
      try scan { bytes, offset throws(Malformed) in
        histogram.buckets = try Array(capacity: count) { buckets throws(Malformed) in
          try tokens(
            bytes.span, from: &offset, count: count, firstBucket: Int(first), into: &buckets)
        }
      }
    }
    guard !histogram.isEmpty else { throw .value }
    return histogram
  }
}

private func tokens(
  _ bytes: Span<UInt8>, from offset: inout Int, count: Int, firstBucket: Int,
  into buckets: inout OutputSpan<SparseHistogram.Bucket>
) throws(Malformed) {
  var bucket = firstBucket
  var value: Int64 = 0

  func byte() throws(Malformed) -> UInt8 {
    guard offset < bytes.count else { throw .truncated }
    defer { offset &+= 1 }
    return bytes[offset]
  }
  func varint() throws(Malformed) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 35, by: 7) {
      let byte = try byte()
      value |= UInt64(byte & 0x7f) << shift
      if byte & 0x80 == 0 {
        guard byte != 0 || shift == 0 else { throw .value }
        return value
      }
    }
    throw .value
  }

  for _ in 0..<count {
    let first = try byte()
    if first < 0x80 {
      value &+= unzigzag(UInt64(first))
    } else if first < 0xc0 {
      bucket &+= Int(first >> 2 & 0xf) &+ 1
      value = Int64(first & 3) &+ 1
    } else if first < 0xe0 {
      value &+= unzigzag(UInt64(first & 0x1f) << 8 | UInt64(try byte()))
    } else {
      let gap = UInt64(first & 0x1f)
      bucket &+= Int(gap == 31 ? 31 &+ (try varint()) : gap)
      value = Int64(try varint())
    }
    guard bucket < HistogramLayout.bucketCount, value > 0, value <= Int64(UInt32.max) else {
      throw .value
    }
    buckets.append(
      SparseHistogram.Bucket(
        index: UInt16(truncatingIfNeeded: bucket), count: UInt32(truncatingIfNeeded: value)))
    bucket &+= 1
  }
}

private func unzigzag(_ bits: UInt64) -> Int64 {
  Int64(bitPattern: bits >> 1) ^ -Int64(bitPattern: bits & 1)
}
