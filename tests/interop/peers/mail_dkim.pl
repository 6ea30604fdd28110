#!/usr/bin/perl
# Driver for Mail::DKIM: one JSON job per line on standard input, one JSON answer per line.
# Its DNS queries are answered from the job's zone, and its clock is the job's.
use strict;
use warnings;

our $now;
BEGIN { *CORE::GLOBAL::time = sub () { defined $main::now ? $main::now : CORE::time() } }

use JSON::PP;
use MIME::Base64;
use Net::DNS;
use Mail::DKIM::DNS;
use Mail::DKIM::PrivateKey;
use Mail::DKIM::Signer;
use Mail::DKIM::Verifier;

my $zone = {};

{
    no warnings 'redefine';
    *Mail::DKIM::DNS::query = sub {
        my ( $name, $type ) = @_;
        my $found = $zone->{ lc($name) . '.' };
        $@ = 'NXDOMAIN';
        return unless exists $zone->{ lc($name) . '.' };
        die "SERVFAIL\n" unless defined $found;
        return map {
            my @strings = unpack '(a255)*', decode_base64($_);
            @strings = ('') unless @strings;
            Net::DNS::RR->new( owner => $name, type => 'TXT', txtdata => \@strings )
        } @$found;
    };
}

sub verify {
    my ($job) = @_;
    $zone = $job->{zone};
    my $dkim = Mail::DKIM::Verifier->new( Strict => 1 );
    $dkim->PRINT( decode_base64( $job->{message} ) );
    $dkim->CLOSE;
    return [ map { $_->result } $dkim->signatures ];
}

sub sign {
    my ($job) = @_;
    my $key = join '', grep { !/^-/ } split /\n/, decode_base64( $job->{pem} );
    my $dkim = Mail::DKIM::Signer->new(
        Algorithm => $job->{algorithm},
        Method    => $job->{method},
        Domain    => $job->{domain},
        Selector  => $job->{selector},
        Key       => Mail::DKIM::PrivateKey->load( Data => $key ),
    );
    $dkim->PRINT( decode_base64( $job->{message} ) );
    $dkim->CLOSE;
    return encode_base64( $dkim->signature->as_string, '' );
}

$| = 1;
my $json = JSON::PP->new->canonical;
while ( my $line = <STDIN> ) {
    my $job = $json->decode($line);
    $now = $job->{now};
    my $answer = eval { $job->{op} eq 'sign' ? sign($job) : verify($job) };
    print $json->encode( { answer => $answer, error => defined $answer ? undef : "$@" } ), "\n";
}
