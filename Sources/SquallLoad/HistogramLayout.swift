/// How a duration becomes a bucket, for every histogram in Squall.
///
/// Log-linear: 256 sub-buckets in each octave from 512 ns to 68.7 s (2^9 to 2^36 ns). A value read
/// back at its bucket's middle is off by at most 1/512 = 0.195 %. Durations below 512 ns are `under`,
/// those from 2^36 ns on are `over`: both are counted, neither is hidden in a bucket.
public enum HistogramLayout {
  public static let subBucketBits = 8
  public static let lowestExponent = 9
  public static let highestExponent = 36
  public static let bucketCount = (highestExponent - lowestExponent) << subBucketBits
  public static let lowestNs: UInt64 = 1 << lowestExponent
  public static let endNs: UInt64 = 1 << highestExponent

  /// The bucket of a duration inside `lowestNs ..< endNs`.
  public static func bucket(_ durationNs: UInt64) -> Int {
    let exponent = 63 &- durationNs.leadingZeroBitCount
    let shift = exponent &- subBucketBits
    let subBucket = Int(truncatingIfNeeded: durationNs &>> UInt64(shift)) & 0xff
    return ((exponent &- lowestExponent) &<< subBucketBits) | subBucket
  }

  /// The smallest duration the bucket holds, in nanoseconds.
  public static func lowerBoundNs(_ bucket: Int) -> UInt64 {
    let exponent = bucket >> subBucketBits + lowestExponent
    return (UInt64(bucket & 0xff) | 0x100) << UInt64(exponent - subBucketBits)
  }

  /// How many different nanosecond values the bucket holds.
  public static func widthNs(_ bucket: Int) -> UInt64 {
    1 << UInt64(bucket >> subBucketBits + lowestExponent - subBucketBits)
  }

  /// The value a bucket is read back as, in nanoseconds.
  public static func middleNs(_ bucket: Int) -> UInt64 {
    lowerBoundNs(bucket) + widthNs(bucket) / 2
  }
}
