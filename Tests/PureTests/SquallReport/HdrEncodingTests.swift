import SquallLoad
import SquallReport
import Testing

struct HdrEncodingTests {
  private func sample(seed: UInt64, count: Int = 2000) -> CompactHistogram {
    var random = SplitMix64(seed: seed)
    var histogram = CompactHistogram()
    for _ in 0..<count {
      let duration =
        UInt64.random(in: 512...68_000_000_000, using: &random)
        >> UInt64.random(in: 0...26, using: &random)
      histogram.record(max(512, duration), count: UInt64.random(in: 1...100_000, using: &random))
    }
    return histogram
  }

  @Test(arguments: UInt64(0)..<10)
  func readingBackGivesTheSameBuckets(seed: UInt64) throws {
    let histogram = sample(seed: seed)
    let back = try #require(HdrEncoding.histogram(HdrEncoding.payload(histogram)))
    #expect(back.buckets == histogram.buckets)
    #expect(back.count == histogram.count)
  }

  @Test func theCompressedFormIsOneStepMore() throws {
    let histogram = sample(seed: 1)
    let text = HdrEncoding.text(histogram) { $0.reversed() }
    #expect(text.hasPrefix("HISTFA"))
    let bytes = try #require(Base64.decode(text))
    #expect(HdrEncoding.histogram(bytes) == nil)
    #expect(HdrEncoding.histogram(bytes) { $0.reversed() }?.buckets == histogram.buckets)
  }

  /// The bytes that HdrHistogram's own encoder makes of the value 1,000 counted five times.
  @Test func theLayoutIsHdrHistograms() {
    var histogram = CompactHistogram()
    histogram.record(1000, count: 5)
    let expected: [UInt8] = [
      0x1c, 0x84, 0x93, 0x13, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1,
      0, 0, 0x03, 0x46, 0x30, 0xb8, 0xa0, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0,
      0xcf, 0x0f,  // 1,000 zeros: -1,000 in zigzag is 1,999.
      0x0a,  // 5.
    ]
    #expect(HdrEncoding.payload(histogram) == expected)
  }

  @Test func whatIsOutsideOurBucketsIsKept() throws {
    var histogram = CompactHistogram()
    histogram.record(100, count: 3)
    histogram.record(80_000_000_000)
    histogram.record(9_000_000_000_000)
    let back = try #require(HdrEncoding.histogram(HdrEncoding.payload(histogram)))
    #expect(back.underCount == 3)
    #expect(back.overCount == 2)
    #expect(back.minNs == 100)
  }

  @Test func countsOfSixtyThreeBitsSurvive() throws {
    var histogram = CompactHistogram()
    histogram.record(5000, count: UInt64(Int64.max))
    let back = try #require(HdrEncoding.histogram(HdrEncoding.payload(histogram)))
    #expect(back.buckets == histogram.buckets)
  }

  @Test func anEmptyHistogramIsEmpty() throws {
    #expect(try #require(HdrEncoding.histogram(HdrEncoding.payload(CompactHistogram()))).isEmpty)
  }

  @Test func brokenBytesAreRefusedNotTrapped() {
    let good = HdrEncoding.payload(sample(seed: 2, count: 50))
    for length in 0..<good.count { #expect(HdrEncoding.histogram(Array(good[..<length])) == nil) }
    for bit in 0..<good.count * 8 {
      var bad = good
      bad[bit / 8] ^= 1 << UInt8(bit % 8)
      _ = HdrEncoding.histogram(bad)
    }
    // A run of zeros beyond the end, and the most negative one there is.
    for run in [[0xff, 0xff, 0xff, 0x7f], Array(repeating: 0xff, count: 9)] as [[UInt8]] {
      var bad = good[..<40] + run
      bad[7] = UInt8(run.count)
      #expect(HdrEncoding.histogram(Array(bad)) == nil)
    }
  }

  /// Quantiles of our buckets against HdrHistogram's at three significant digits, of the same values.
  @Test(arguments: UInt64(0)..<5)
  func quantilesAgreeWithHdrHistogram(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var ours = Histogram()
    var theirs = HdrReference(
      lowestDiscernibleValue: 1, highestTrackableValue: HdrEncoding.highestNs,
      numberOfSignificantValueDigits: .three)
    for _ in 0..<20_000 {
      let duration =
        UInt64.random(in: 1000...60_000_000_000, using: &random)
        >> UInt64.random(in: 0...20, using: &random)
      guard duration >= 512 else { continue }
      ours.record(duration)
      theirs.record(duration)
    }
    for percentile in [1, 10, 50, 75, 90, 99, 99.9, 99.99, 100] {
      let mine = Double(ours.quantileNs(percentile / 100))
      let other = Double(theirs.valueAtPercentile(percentile))
      #expect(abs(mine - other) <= other * (0.001_96 + 0.001), "p\(percentile)")
    }
    #expect(abs(ours.meanNs - theirs.mean) <= theirs.mean * 0.001)
    #expect(ours.count == UInt64(theirs.totalCount))
  }
}

struct Base64Tests {
  @Test(arguments: [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
    ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
  ])
  func theRFCsVectors(plain: String, encoded: String) {
    #expect(Base64.encode(Array(plain.utf8)) == encoded)
    #expect(Base64.decode(encoded) == Array(plain.utf8))
  }

  @Test(arguments: ["Z", "Zg", "Zg=", "Zm9v!A==", "Z===", "====", "=Zg=", "Zh==", "Zm9=", "Zm9v\n"])
  func anythingElseIsRefused(text: String) {
    #expect(Base64.decode(text) == nil)
  }

  @Test func everyByteGoesThereAndBack() {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    #expect(Base64.decode(Base64.encode(bytes)) == bytes)
  }
}
