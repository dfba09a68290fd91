import Histogram

/// HdrHistogram's own, in a file that does not see the type of the same name in `SquallLoad`.
typealias HdrReference = Histogram<UInt64>
